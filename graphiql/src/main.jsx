import 'graphiql/setup-workers/vite';
import 'graphiql/style.css';
import './page.css';

import { GraphiQL, HISTORY_PLUGIN } from 'graphiql';
import { useState } from 'react';
import { createRoot } from 'react-dom/client';

import { createFetcher } from './fetcher.js';
import { PaymentFiller } from './payment_filler.jsx';
import { openingTabs, renewKeys, showFirstVariables } from './tabs.js';
import { TOKENS_PLUGIN } from './tokens.jsx';

const CONFIG_URL = '/graphql/config.json';
const PLUGINS = [HISTORY_PLUGIN, TOKENS_PLUGIN];

async function loadConfig() {
  const response = await fetch(CONFIG_URL, { cache: 'no-store' });
  if (!response.ok) throw new Error(`${CONFIG_URL} answered ${response.status}`);
  return response.json();
}

function Page({ config, tabs }) {
  const key = config.demoKey ?? 'PASTE_YOUR_SERVER_KEY_HERE';
  const [fetcher] = useState(() => createFetcher(config));
  return (
    <GraphiQL
      fetcher={fetcher}
      defaultTabs={tabs}
      defaultHeaders={JSON.stringify({ Authorization: `Bearer ${key}` }, null, 2)}
      defaultEditorToolsVisibility="variables"
      plugins={PLUGINS}
      // A server key moves money: it stays in this page and is never written to local storage.
      shouldPersistHeaders={false}
      showPersistHeadersSettings={false}
    >
      <GraphiQL.Logo>
        Counter<em>foil</em>
      </GraphiQL.Logo>
      <GraphiQL.Footer>
        <PaymentFiller />
        <p className="page-note">
          <a href="/errors" target="_blank" rel="noreferrer">
            What each error code means
          </a>
          {' · '}
          {config.demoKey
            ? 'Demo: the provider is simulated, no real money moves. The demo key is filled in under Headers.'
            : 'Put a server key under Headers, then press “Re-fetch GraphQL schema” at the lower left. The key is forgotten when you leave this page.'}
        </p>
      </GraphiQL.Footer>
    </GraphiQL>
  );
}

const root = createRoot(document.getElementById('graphiql'));
try {
  const tabs = openingTabs();
  renewKeys(localStorage);
  showFirstVariables(localStorage, tabs);
  root.render(<Page config={await loadConfig()} tabs={tabs} />);
} catch (error) {
  root.render(
    <p className="opening" role="alert">
      GraphiQL could not open: {error.message}. Is the server running? Reload to try again.
    </p>,
  );
}
