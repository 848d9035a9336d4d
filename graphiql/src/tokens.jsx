import { useGraphiQL } from '@graphiql/react';

import { withToken } from './tabs.js';
import tokens from './tokens.json';

/** What each test token makes the simulated provider do; one click puts it into the variables. */
function Tokens() {
  const editor = useGraphiQL((state) => state.variableEditor);
  const use = (token) => editor?.setValue(withToken(editor.getValue(), token));
  return (
    <section className="tokens">
      <h2>Test tokens</h2>
      <p>
        What each makes the simulated provider do. Click one to put it, with a fresh{' '}
        <code>idempotencyKey</code>, into the variables of this tab.
      </p>
      <ul>
        {tokens.map(({ token, does }) => (
          <li key={token}>
            <button type="button" className="graphiql-un-styled" onClick={() => use(token)}>
              {token}
            </button>
            <span>{does}</span>
          </li>
        ))}
      </ul>
      <p>
        Each also as <code>bound_…</code>: it then stays with one provider account.
      </p>
    </section>
  );
}

function Icon() {
  return (
    <svg viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="1.7" aria-hidden="true">
      <rect x="2.5" y="5" width="19" height="14" rx="2.2" />
      <path d="M2.5 9.5h19M6 15h4" />
    </svg>
  );
}

export const TOKENS_PLUGIN = { title: 'Test tokens', icon: Icon, content: Tokens };
