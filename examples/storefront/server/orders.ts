// Orders and their payments. In memory: a real shop keeps them in its database.
import {
  CreatePaymentDocument,
  OrderStatusDocument,
  type MoneyInput,
  type PaymentCreateInput,
} from '../generated/server.ts';
import { CURRENCY, totalMinor, type Line } from './catalogue.ts';
import { problem, Refused, type Ask } from './counterfoil.ts';
import { storeCredit } from './customers.ts';
import type { Session } from './sessions.ts';

const KEY = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export interface Order {
  id: string;
  lines: Line[];
  customerId: string | null;
  /** The part of the price that is paid from store credit, in cents. */
  creditMinor: number;
  /** Opens this order's payment and nothing else: for the page of whoever placed the order. */
  clientSecret: string;
}

/** What was sent is no order, or another order than the one placed with this key. */
export class BadOrder extends Error {}

/** What a page may decide about its order. */
export interface Wish {
  orderKey: unknown;
  lines: Line[];
  useCredit: boolean;
}

interface Placed {
  wish: string;
  /** Decided once: every try sends exactly this, under the same idempotency key. */
  input: PaymentCreateInput | null;
  /** The try that is under way or has succeeded. */
  order: Promise<Order> | null;
}

export class Orders {
  #placed = new Map<string, Placed>();
  #ask: Ask;
  #origin: string;

  constructor(ask: Ask, origin: string) {
    this.#ask = ask;
    this.#origin = origin;
  }

  /**
   * Place an order and prepare its payment. `orderKey` is made by the page before its first try:
   * however often it is sent, there is one order and one payment.
   */
  async place(session: Session, { orderKey, lines, useCredit }: Wish): Promise<Order> {
    if (typeof orderKey !== 'string' || !KEY.test(orderKey))
      throw new BadOrder('orderKey: a UUID.');
    const id = `order-${orderKey}`;
    const wish = JSON.stringify([session.customerId, lines, useCredit]);
    const known = this.#placed.get(id);
    if (known !== undefined && (known.wish !== wish || !session.orderIds.has(id))) {
      throw new BadOrder('This order was placed already, with another cart.');
    }
    session.orderIds.add(id);
    const placed = known ?? { wish, input: null, order: null };
    this.#placed.set(id, placed);
    const order = (placed.order ??= this.#prepare(
      placed,
      id,
      session.customerId,
      lines,
      useCredit,
    ));
    order.catch(() => {
      if (placed.order === order) placed.order = null;
    });
    return order;
  }

  /** An order, for whoever placed it: this browser, or this customer in any browser. */
  async find(session: Session, id: string): Promise<Order | undefined> {
    const order = await this.#placed.get(id)?.order;
    const isTheirs = order?.customerId != null && order.customerId === session.customerId;
    return order != null && (isTheirs || session.orderIds.has(id)) ? order : undefined;
  }

  /** Whether to pack the parcel. The gateway's word, not the page's. */
  async isPaid(order: Order): Promise<boolean> {
    const { paymentByReference } = await this.#ask(OrderStatusDocument, { reference: order.id });
    return paymentByReference?.status === 'CAPTURED';
  }

  async #prepare(
    placed: Placed,
    id: string,
    customerId: string | null,
    lines: Line[],
    useCredit: boolean,
  ): Promise<Order> {
    const input = (placed.input ??= await this.#decide(
      id,
      customerId,
      totalMinor(lines),
      useCredit,
    ));
    const { paymentCreate } = await this.#ask(CreatePaymentDocument, { input });
    if (paymentCreate.__typename !== 'PaymentPayload') throw problem(paymentCreate);
    const { clientSecret } = paymentCreate.payment;
    if (clientSecret === null) throw new Refused('The server key may not read client secrets.');
    const creditMinor = Number(input.storeCredit?.amount.amountMinor ?? 0);
    return { id, lines, customerId, creditMinor, clientSecret };
  }

  async #decide(
    id: string,
    customerId: string | null,
    total: number,
    useCredit: boolean,
  ): Promise<PaymentCreateInput> {
    const credit =
      useCredit && customerId !== null ? await storeCredit(this.#ask, customerId) : null;
    return {
      idempotencyKey: id,
      reference: id,
      amount: money(total),
      customerId,
      confirm: false,
      returnUrl: `${this.#origin}/orders/${id}`,
      storeCredit: credit && {
        accountId: credit.accountId,
        amount: money(Math.min(credit.minorUnits, total)),
      },
    };
  }
}

function money(minorUnits: number): MoneyInput {
  return { amountMinor: String(minorUnits), currency: CURRENCY };
}
