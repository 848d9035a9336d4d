// The merchant's own server: it decides prices, holds the server key, and hands out what opens one
// payment (a client secret) or one customer's own (a customer token). The key itself stays here.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

import { BadCart, checkedLines, CURRENCY, productOf, PRODUCTS, totalMinor } from './catalogue.ts';
import { counterfoil, Refused, Unavailable } from './counterfoil.ts';
import { CUSTOMERS, tokenFor, welcome } from './customers.ts';
import { bodyOf, HttpProblem, readPages, secure, send } from './http.ts';
import { BadOrder, Orders, type Order } from './orders.ts';
import { Sessions, type Session } from './sessions.ts';
import { readSettings } from './settings.ts';

const settings = readSettings(process.env);
const ask = counterfoil(settings);
const orders = new Orders(ask, settings.origin);
const sessions = new Sessions();
const pages = readPages(new URL('page/', import.meta.url), settings);

type Route = (request: IncomingMessage, response: ServerResponse) => Promise<unknown>;

const ROUTES: Record<string, Route> = {
  'GET /api/products': async () => ({ currency: CURRENCY, products: PRODUCTS }),
  'GET /api/session': async (request, response) => {
    const { customerId } = sessions.of(request, response);
    return { customerId, customers: CUSTOMERS };
  },
  'POST /api/session': async (request, response) => {
    const { customerId } = await bodyOf(request, settings.origin);
    const known = CUSTOMERS.find((one) => one === customerId);
    if (known === undefined) throw new HttpProblem(403, 'There is no such customer.');
    await welcome(ask, known);
    sessions.logIn(sessions.of(request, response), known, response);
    return { customerId: known, customers: CUSTOMERS };
  },
  'POST /api/session/end': async (request, response) => {
    await bodyOf(request, settings.origin);
    sessions.logOut(sessions.of(request, response));
    return { customerId: null, customers: CUSTOMERS };
  },
  'POST /api/customer-token': async (request, response) => {
    await bodyOf(request, settings.origin);
    const { customerId } = sessions.of(request, response);
    if (customerId === null) throw new HttpProblem(401, 'Please log in.');
    return { customerId, ...(await tokenFor(ask, customerId)) };
  },
  'POST /api/orders': async (request, response) => {
    const { orderKey, lines, useCredit } = await bodyOf(request, settings.origin);
    const session = sessions.of(request, response);
    const wish = { orderKey, lines: checkedLines(lines), useCredit: useCredit === true };
    const order = await orders.place(session, wish);
    return { orderId: order.id };
  },
};

/** An order with what its page needs; prices are the server's. */
async function orderFor(request: IncomingMessage, response: ServerResponse, id: string) {
  const session = sessions.of(request, response);
  const order = await orders.find(session, id);
  if (order === undefined) throw new HttpProblem(404, 'There is no such order.');
  return shown(order, session);
}

async function shown(order: Order, session: Session) {
  return {
    id: order.id,
    clientSecret: order.clientSecret,
    customerId: order.customerId === session.customerId ? order.customerId : null,
    currency: CURRENCY,
    totalMinor: totalMinor(order.lines),
    creditMinor: order.creditMinor,
    lines: order.lines.map((line) => ({ ...productOf(line), quantity: line.quantity })),
    isPaid: await orders.isPaid(order),
  };
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname } = new URL(request.url ?? '/', settings.origin);
  const route = ROUTES[`${request.method} ${pathname}`];
  const order = /^\/api\/orders\/([\w-]+)$/.exec(pathname)?.[1];
  if (route !== undefined) send(response, 200, await route(request, response));
  else if (request.method === 'GET' && order !== undefined) {
    send(response, 200, await orderFor(request, response, order));
  } else if (request.method !== 'GET' || pathname.startsWith('/api/')) {
    throw new HttpProblem(404, 'There is nothing here.');
  } else servePage(response, pathname);
}

/** A file, or the page itself: which view it shows is decided by the page. */
function servePage(response: ServerResponse, pathname: string): void {
  const isFile = pathname.includes('.');
  const page = pages.get(isFile ? pathname : '/index.html');
  if (page === undefined) throw new HttpProblem(404, 'There is nothing here.');
  response.setHeader('content-type', page.type);
  response.end(page.content);
}

/** Expected problems are told; the rest is logged here, and the page learns that it failed. */
function refuse(response: ServerResponse, error: unknown): void {
  if (error instanceof HttpProblem) send(response, error.status, { message: error.message });
  else if (error instanceof BadCart) send(response, 422, { message: error.message });
  else if (error instanceof BadOrder) send(response, 409, { message: error.message });
  else if (error instanceof Unavailable || error instanceof Refused) {
    console.error(`${error.name}: ${error.message}`);
    send(response, 503, { message: 'Payments are not available at the moment.' });
  } else {
    console.error(error);
    send(response, 500, { message: 'Something went wrong in the shop.' });
  }
}

const { host, hostname, port } = new URL(settings.origin);
const server = createServer((request, response) => {
  secure(response, settings);
  // localhost and 127.0.0.1 are two origins: whoever comes by another name goes on to ours.
  if (request.headers.host !== host) {
    response.writeHead(307, { location: `${settings.origin}${request.url}` }).end();
    return;
  }
  answer(request, response).catch((error: unknown) => refuse(response, error));
});
server.listen(Number(port || 80), hostname, () => {
  console.log(`\n  The shop is open: ${settings.origin}  (payments at ${settings.gateway})\n`);
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    server.close();
    server.closeAllConnections();
  });
}
