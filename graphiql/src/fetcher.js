import { createGraphiQLFetcher } from '@graphiql/toolkit';
import { parse } from 'graphql';

/**
 * The operation to run, read from the text that is sent: what GraphiQL believes of it is a moment
 * old. Who is faster would send the former text's operation name, or a subscription over HTTP.
 */
function asWritten(request, given) {
  let document;
  try {
    document = parse(request.query);
  } catch {
    return [request, given]; // The server explains a text that is not GraphQL better than we could.
  }
  const names = document.definitions.flatMap((definition) =>
    definition.kind === 'OperationDefinition' ? [definition.name?.value] : [],
  );
  const operationName = names.length === 1 ? names[0] : request.operationName;
  return [{ ...request, operationName }, { ...given, documentAST: document }];
}

/** The schema with its types by name: the documentation lists them as they come. */
function withTypesInOrder(answer) {
  answer.data?.__schema?.types.sort((one, other) => one.name.localeCompare(other.name));
  return answer;
}

/**
 * Sends exactly what the editors show. Only the schema, which GraphiQL asks for before its headers
 * editor exists, is fetched with the demo key of its own accord.
 */
export function createFetcher({ endpoint, demoKey }) {
  // Subscriptions go over WebSocket; what stands under Headers goes along in connection_init.
  const subscriptionUrl = new URL(endpoint, window.location.href);
  subscriptionUrl.protocol = subscriptionUrl.protocol === 'https:' ? 'wss:' : 'ws:';
  const options = {
    url: endpoint,
    subscriptionUrl: subscriptionUrl.href,
    enableIncrementalDelivery: false,
  };
  const asShown = createGraphiQLFetcher(options);
  const withKey = demoKey
    ? createGraphiQLFetcher({ ...options, headers: { Authorization: `Bearer ${demoKey}` } })
    : asShown;
  return (request, given) => {
    const asksForSchema = request.operationName === 'IntrospectionQuery';
    const send = asksForSchema && !given?.headers ? withKey : asShown;
    const answer = send(...asWritten(request, given));
    return asksForSchema ? answer.then(withTypesInOrder) : answer;
  };
}
