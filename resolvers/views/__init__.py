"""What the API shows: plain attributes over the rows of the database, computed when asked for."""
