"""How fast the front door is, as ratios to a bare server that does the same work: `make bench`.

stage.py      PostgreSQL, the product's processes and the bare one
recording.py  the SQL and the provider call of one request, as the product makes them
bare.py       the server to compare with: replays a recording, or only its commits
load.py       callers, latencies, CPU and memory of a process
measures.py   what is measured, and the ratio each may have
report.py     the table and benchmarks/results/latest.json
"""
