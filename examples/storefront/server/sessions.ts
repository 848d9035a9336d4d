// Who is asking: a cookie that names a session of this server. Nothing else is in it.
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';

const COOKIE = 'shop_session';
const SESSIONS_MAX = 10_000;

export interface Session {
  id: string;
  /** Who is logged in. */
  customerId: string | null;
  /** The orders placed by this browser. */
  orderIds: Set<string>;
}

export class Sessions {
  #byId = new Map<string, Session>();

  /** The session of a request; a new one if it has none. */
  of(request: IncomingMessage, response: ServerResponse): Session {
    const id = cookieOf(request);
    const known = id === undefined ? undefined : this.#byId.get(id);
    return known ?? this.#begin(response, null, new Set());
  }

  /** A new session, so that nobody who knew the cookie before is logged in with it. */
  logIn(old: Session, customerId: string, response: ServerResponse): void {
    this.#byId.delete(old.id);
    this.#begin(response, customerId, old.orderIds);
  }

  logOut(session: Session): void {
    this.#byId.delete(session.id);
  }

  #begin(response: ServerResponse, customerId: string | null, orderIds: Set<string>): Session {
    const session = { id: randomBytes(24).toString('base64url'), customerId, orderIds };
    const [oldest] = this.#byId.keys();
    if (oldest !== undefined && this.#byId.size >= SESSIONS_MAX) this.#byId.delete(oldest);
    this.#byId.set(session.id, session);
    // Behind https add `Secure`. Lax: shoppers come back from the bank's page by a link.
    response.setHeader('set-cookie', `${COOKIE}=${session.id}; HttpOnly; SameSite=Lax; Path=/`);
    return session;
  }
}

function cookieOf(request: IncomingMessage): string | undefined {
  const pairs = (request.headers.cookie ?? '').split(';').map((pair) => pair.trim().split('='));
  return pairs.find(([name]) => name === COOKIE)?.[1];
}
