// Asks Counterfoil with the server key. Nothing of this file reaches a page.
import { setTimeout as wait } from 'node:timers/promises';

import type { DocumentTypeDecoration } from '@graphql-typed-document-node/core';

import type { Settings } from './settings.ts';

const TRIES_MAX = 4;
const TIMEOUT_MS = 30_000;

/** The gateway gave no answer that can be used; nobody knows whether it did what was asked. */
export class Unavailable extends Error {}

/** The gateway answered that this is not possible. */
export class Refused extends Error {}

export type Ask = <Result, Variables>(
  operation: DocumentTypeDecoration<Result, Variables>,
  variables: Variables,
) => Promise<Result>;

/** A function that asks until it is answered: every mutation carries its idempotency key. */
export function counterfoil(settings: Settings): Ask {
  return async (operation, variables) => {
    const body = JSON.stringify({ query: String(operation), variables });
    for (let attempt = 1; ; attempt++) {
      try {
        return await askOnce(settings, body);
      } catch (error) {
        if (!(error instanceof Unavailable) || attempt === TRIES_MAX) throw error;
        await wait(100 * 2 ** attempt);
      }
    }
  };
}

async function askOnce<Result>(settings: Settings, body: string): Promise<Result> {
  const answer = await fetch(`${settings.gateway}/graphql`, {
    method: 'POST',
    headers: {
      accept: 'application/graphql-response+json',
      authorization: `Bearer ${settings.serverKey}`,
      'content-type': 'application/json',
    },
    body,
    signal: AbortSignal.timeout(TIMEOUT_MS),
  }).catch((error: unknown) => {
    throw new Unavailable('Counterfoil cannot be reached.', { cause: error });
  });
  if (answer.status >= 500 || answer.status === 429) {
    throw new Unavailable(`Counterfoil answered ${answer.status}.`);
  }
  const told: unknown = await answer.json().catch((error: unknown) => {
    throw new Unavailable('Counterfoil answered no JSON.', { cause: error });
  });
  const { data, errors } = told as GraphQLAnswer<Result>;
  if (errors !== undefined || data == null) {
    throw new Refused(errors?.map((error) => error.message).join(' ') ?? 'There was no data.');
  }
  return data;
}

interface GraphQLAnswer<Result> {
  data?: Result | null;
  errors?: { message: string }[];
}

interface Problem {
  __typename: string;
  code: string;
  message: string;
  retryable: boolean;
}

/** For results that are none of the expected ones: a retryable one may succeed a little later. */
export function problem(result: Problem): Error {
  const text = `${result.code}: ${result.message}`;
  return result.retryable ? new Unavailable(text) : new Refused(text);
}
