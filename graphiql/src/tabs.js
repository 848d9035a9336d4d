/**
 * The tabs a newcomer finds: operations/NN-name.graphql with operations/NN-name.variables.json.
 *
 * The variables may contain placeholders: $FRESH_KEY, $LAST_PAYMENT, $MONTH_START, $MONTH_END.
 */
const files = import.meta.glob('../operations/*', {
  query: '?raw',
  import: 'default',
  eager: true,
});

export const NO_PAYMENT_YET = '(filled in by the first payment)';

const KEY_PREFIX = 'graphiql-';
const KEY_MADE_HERE = /graphiql-[0-9a-f]{32}/g;
const TOKEN = /("token"\s*:\s*)"[^"]*"/;

/** 128 random bits. crypto.randomUUID() is missing where a page is not served from loopback or TLS. */
function freshKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return KEY_PREFIX + Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function fillPlaceholders(template, now) {
  const monthStart = (offset) =>
    new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + offset, 1)).toISOString();
  return template
    .replaceAll('$FRESH_KEY', freshKey)
    .replaceAll('$LAST_PAYMENT', NO_PAYMENT_YET)
    .replaceAll('$MONTH_START', monthStart(0))
    .replaceAll('$MONTH_END', monthStart(1));
}

export function openingTabs(now = new Date()) {
  return Object.keys(files)
    .filter((path) => path.endsWith('.graphql'))
    .sort()
    .map((path) => ({
      query: files[path],
      variables: fillPlaceholders(
        files[path.replace('.graphql', '.variables.json')] ?? '',
        now,
      ),
    }));
}

/** Variables with this test token, as a new intent: a key made here is replaced by a fresh one. */
export function withToken(variables, token) {
  if (!TOKEN.test(variables)) return variables;
  return variables.replace(TOKEN, `$1"${token}"`).replace(KEY_MADE_HERE, freshKey());
}

/**
 * Gives the idempotency keys of an earlier visit new values, so that the first run of a visit
 * is a new payment. Keys written by the reader (any other prefix) stay as they are.
 */
export function renewKeys(storage) {
  const renewed = new Map();
  const renew = (key) => {
    if (!renewed.has(key)) renewed.set(key, freshKey());
    return renewed.get(key);
  };
  for (const name of ['graphiql:tabState', 'graphiql:variables']) {
    const text = storage.getItem(name);
    if (text) storage.setItem(name, text.replace(KEY_MADE_HERE, renew));
  }
}

/**
 * On a first visit, stores the first tab's variables where GraphiQL reads them: it shows the
 * query of the first default tab but takes that tab's variables from storage only.
 */
export function showFirstVariables(storage, tabs) {
  if (storage.getItem('graphiql:tabState')) return;
  storage.removeItem('graphiql:query');
  storage.setItem('graphiql:variables', tabs[0].variables);
}
