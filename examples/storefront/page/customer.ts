// Asking the gateway as the customer who is logged in at the shop, with a token of theirs.
import { ask, Refused, type Operation } from './gateway.ts';
import { shop, ShopProblem } from './shop_server.ts';

/** In memory only: a token ends after minutes, and another costs one question to our own server. */
let held: { customerId: string; token: string } | null = null;

/**
 * A token that has ended is replaced, once. Raises ShopProblem 401 for who is not logged in any
 * more, and what `ask` raises.
 */
export async function askAs<Result, Variables>(
  customerId: string,
  operation: Operation<Result, Variables>,
  variables: Variables,
): Promise<Result> {
  const kept = held?.customerId === customerId ? held.token : null;
  const token = kept ?? (await newToken(customerId));
  held = { customerId, token };
  try {
    return await ask(operation, variables, token);
  } catch (error) {
    if (!(error instanceof Refused) || error.code !== 'UNAUTHENTICATED') throw error;
    held = null;
    if (kept === null) throw error;
    return askAs(customerId, operation, variables);
  }
}

/** Somebody else may have logged in since, in another tab: their token is not asked with. */
async function newToken(customerId: string): Promise<string> {
  const given = await shop.customerToken();
  if (given.customerId !== customerId) throw new ShopProblem(401, 'Please log in again.');
  return given.token;
}
