// What the page asks its own shop's server.

export interface Product {
  id: string;
  name: string;
  description: string;
  priceMinor: number;
}

export interface Line {
  productId: string;
  quantity: number;
}

export interface Order {
  id: string;
  clientSecret: string;
  /** Whose it is, if they are logged in now; null for a guest. */
  customerId: string | null;
  currency: string;
  totalMinor: number;
  /** The part that is paid from store credit. */
  creditMinor: number;
  lines: (Product & { quantity: number })[];
  /** What the server saw at Counterfoil: it packs the parcel. */
  isPaid: boolean;
}

export interface Visitor {
  customerId: string | null;
  customers: string[];
}

/** The shop refused, or could not be reached. */
export class ShopProblem extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

async function ask<Result>(path: string, content?: object): Promise<Result> {
  const headers = { 'content-type': 'application/json' };
  const post = { method: 'POST', headers, body: JSON.stringify(content) };
  const answer = await fetch(path, content === undefined ? {} : post).catch(() => {
    throw new ShopProblem(0, 'The shop cannot be reached. Are you offline?');
  });
  const body: unknown = await answer.json().catch(() => null);
  if (!answer.ok || body === null) {
    const { message } = Object(body) as { message?: string };
    throw new ShopProblem(answer.status, message ?? 'The shop is out of order.');
  }
  return body as Result;
}

export const shop = {
  products: () => ask<{ currency: string; products: Product[] }>('/api/products'),
  order: (id: string) => ask<Order>(`/api/orders/${encodeURIComponent(id)}`),
  placeOrder: (orderKey: string, lines: Line[], useCredit: boolean) =>
    ask<{ orderId: string }>('/api/orders', { orderKey, lines, useCredit }),
  visitor: () => ask<Visitor>('/api/session'),
  logIn: (customerId: string) => ask<Visitor>('/api/session', { customerId }),
  logOut: () => ask<Visitor>('/api/session/end', {}),
  customerToken: () =>
    ask<{ customerId: string; token: string; expiresAt: string }>('/api/customer-token', {}),
};
