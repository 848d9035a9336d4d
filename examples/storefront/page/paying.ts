// Paying one order: its ways to pay, one try at a time, and what a payment's status means.
import {
  CheckoutOptionsDocument,
  ConfirmPaymentDocument,
  PaymentBySecretDocument,
  WatchPaymentDocument,
  type ConfirmPaymentMutation,
  type PaymentConfirmInput,
  type PaymentStateFragment as Payment,
} from '../generated/page.ts';
import { askAs } from './customer.ts';
import { ask, Refused, Unreachable, wait, watch } from './gateway.ts';
import type { Order } from './shop_server.ts';

export type { Payment };

const TRIES_MAX = 4;

/** Where the shopper stands: what the page shows next follows from this alone. */
export type Stage = 'choose' | 'act' | 'wait' | 'paid' | 'over';

export function stageOf(payment: Payment): Stage {
  switch (payment.status) {
    case 'REQUIRES_PAYMENT_METHOD':
    case 'REQUIRES_CONFIRMATION':
      return 'choose';
    case 'REQUIRES_ACTION':
      return 'act';
    case 'PROCESSING': // perhaps charged, perhaps not: nobody tries again until it is known
    case 'IN_REVIEW':
      return 'wait';
    case 'AUTHORIZED':
    case 'PARTIALLY_CAPTURED':
    case 'CAPTURED':
      return 'paid';
    case 'CANCELED':
    case 'FAILED':
    case 'EXPIRED':
      return 'over';
  }
}

export async function paymentOf(order: Order): Promise<Payment> {
  const secret = order.clientSecret;
  const { paymentByClientSecret } = await ask(PaymentBySecretDocument, { secret }, secret);
  if (paymentByClientSecret === null) throw new Refused('NOT_FOUND', 'There is no such payment.');
  return paymentByClientSecret;
}

/**
 * The test cards of the simulator. At a real provider `clientConfiguration` is what its own script
 * needs: that script shows the card fields and makes the token.
 */
export async function testTokens(order: Order): Promise<string[]> {
  const amount = { amountMinor: String(order.totalMinor), currency: order.currency };
  const { checkoutOptions } = await ask(CheckoutOptionsDocument, { amount }, order.clientSecret);
  const offered = checkoutOptions
    .filter(({ adapter }) => adapter === 'simulator')
    .flatMap(({ clientConfiguration }) => tokensIn(clientConfiguration));
  return [...new Set(offered)];
}

function tokensIn(clientConfiguration: unknown): string[] {
  const { testTokens } = Object(clientConfiguration) as { testTokens?: unknown };
  return Array.isArray(testTokens) ? testTokens.map(String) : [];
}

/**
 * What the shopper wants to pay with: a new card and whether to keep it, a card they keep, or
 * neither if store credit covers it all.
 */
export type Wish = Pick<PaymentConfirmInput, 'method' | 'saveMethod'>;

/** The card was kept, and is not any more. Nothing was charged. */
export class CardGone extends Error {}

/**
 * Try to pay. A request that brought no answer is sent again with the same key, which charges
 * nobody twice; so is one that a reload of the page interrupted. Raises CardGone, Refused,
 * Unreachable.
 */
export async function confirm(order: Order, wish: Wish): Promise<Payment> {
  const idempotencyKey = keyOf(order, wish);
  const input = { idempotencyKey, clientSecret: order.clientSecret, ...wish };
  for (let attempt = 1; ; attempt++) {
    try {
      const { paymentConfirm } = await send(order, input);
      if (paymentConfirm.__typename === 'PaymentPayload') {
        forgetKey(order);
        return paymentConfirm.payment;
      }
      if (!paymentConfirm.retryable) {
        forgetKey(order);
        if (paymentConfirm.code === 'NOT_FOUND' && choosesKept(wish)) throw new CardGone();
        throw new Refused(paymentConfirm.code, paymentConfirm.message);
      }
      if (attempt === TRIES_MAX) throw new Refused(paymentConfirm.code, paymentConfirm.message);
    } catch (error) {
      if (!(error instanceof Unreachable) || attempt === TRIES_MAX) throw error;
    }
    await wait(250 * 2 ** attempt);
  }
}

/** The client secret lets anybody pay with a card of their own; with a kept one, its owner only. */
function send(order: Order, input: PaymentConfirmInput): Promise<ConfirmPaymentMutation> {
  const { customerId, clientSecret } = order;
  return customerId !== null && choosesKept(input)
    ? askAs(customerId, ConfirmPaymentDocument, { input })
    : ask(ConfirmPaymentDocument, { input }, clientSecret);
}

function choosesKept({ method }: Wish): boolean {
  return method != null && 'savedMethodId' in method;
}

interface Try {
  wish: string;
  key: string;
}

/** The key of a try: made and kept before it is sent, another one for another wish. */
function keyOf(order: Order, wished: Wish): string {
  const wish = JSON.stringify(wished);
  const kept = JSON.parse(sessionStorage.getItem(`try ${order.id}`) ?? 'null') as Try | null;
  const key = kept?.wish === wish ? kept.key : crypto.randomUUID();
  sessionStorage.setItem(`try ${order.id}`, JSON.stringify({ wish, key } satisfies Try));
  return key;
}

function forgetKey(order: Order): void {
  sessionStorage.removeItem(`try ${order.id}`);
}

/** The payment as it is and after each change, until it need not be waited for. */
export async function* changes(order: Order): AsyncGenerator<Payment> {
  const variables = { secret: order.clientSecret };
  for await (const { paymentChangedByClientSecret } of watch(WatchPaymentDocument, variables)) {
    yield paymentChangedByClientSecret;
  }
}
