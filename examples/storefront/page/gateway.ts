// What the page asks Counterfoil: /storefront/graphql, over HTTP and over WebSocket.
import type { DocumentTypeDecoration } from '@graphql-typed-document-node/core';
import { createClient, type Client } from 'graphql-ws';

const GATEWAY = document.documentElement.dataset['gateway'] ?? '';
const ADDRESS = `${GATEWAY}/storefront/graphql`;

export type Operation<Result, Variables> = DocumentTypeDecoration<Result, Variables>;

interface Answer<Result> {
  data?: Result | null;
  errors?: { message: string; extensions?: { code?: string } }[];
}

/** Nothing came back: the network is away, or this page's origin is not allowed to ask. */
export class Unreachable extends Error {
  constructor() {
    super('The payment service does not answer: you are offline, or it does not allow this page.');
  }
}

/** The request was refused; `code` is one of those in docs/api.md. */
export class Refused extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Ask with a client secret or a customer token. Raises Unreachable, Refused. */
export async function ask<Result, Variables>(
  operation: Operation<Result, Variables>,
  variables: Variables,
  credential: string,
): Promise<Result> {
  const answer = await fetch(ADDRESS, {
    method: 'POST',
    headers: {
      accept: 'application/graphql-response+json',
      authorization: `Bearer ${credential}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify({ query: String(operation), variables }),
  }).catch(() => {
    throw new Unreachable();
  });
  if (answer.status >= 500 || answer.status === 429) throw new Unreachable();
  const body: unknown = await answer.json().catch(() => {
    throw new Unreachable();
  });
  return dataOf(body as Answer<Result>);
}

function dataOf<Result>({ data, errors }: Answer<Result>): Result {
  const [error] = errors ?? [];
  if (error !== undefined) throw new Refused(error.extensions?.code ?? 'UNKNOWN', error.message);
  if (data == null) throw new Unreachable();
  return data;
}

export function wait(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

let socket: Client | undefined;

/**
 * What changes, from how it is now on. A lost connection is made again: the first message then says
 * how things stand. Leave the loop to stop watching.
 */
export async function* watch<Result, Variables extends Record<string, unknown>>(
  operation: Operation<Result, Variables>,
  variables: Variables,
): AsyncGenerator<Result> {
  socket ??= createClient({
    url: ADDRESS.replace(/^http/, 'ws'),
    retryAttempts: Infinity,
    shouldRetry: () => true,
    retryWait: (retries) => wait(Math.min(500 * 2 ** retries, 15_000)),
  });
  try {
    for await (const answer of socket.iterate({ query: String(operation), variables })) {
      yield dataOf(answer as Answer<Result>);
    }
  } catch (error) {
    // A closed socket is an event, refusals of the operation are a list: neither is an Error.
    throw error instanceof Error ? error : new Unreachable();
  }
}
