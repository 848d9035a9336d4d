// Cards a customer keeps. The provider has them; this page knows what it tells of them, and an id
// that only their owner can pay with.
import {
  KeptCardsDocument,
  RemoveCardDocument,
  type KeptCardFragment as Card,
} from '../generated/page.ts';
import { askAs } from './customer.ts';
import { button, capitalized, element, failed, waiting } from './elements.ts';
import { Refused } from './gateway.ts';

export type { Card };

export async function keptCards(customerId: string): Promise<Card[]> {
  const { customer } = await askAs(customerId, KeptCardsDocument, {});
  return customer?.savedMethods.nodes ?? [];
}

export function cardName({ brand, last4 }: Card): string {
  const name = capitalized(brand ?? 'card');
  return last4 === null ? name : `${name} ending in ${last4}`;
}

export function expiry({ expMonth, expYear }: Card): HTMLElement {
  const isKnown = expMonth !== null && expYear !== null;
  const month = String(expMonth).padStart(2, '0');
  return element('small', {}, isKnown ? `expires ${month}/${expYear}` : '');
}

/** A line of the account page; `look` shows the account anew, to see whether it was removed. */
export function keptCard(customerId: string, card: Card, look: () => void): HTMLElement {
  const name = cardName(card);
  const remove = async () => {
    line.replaceChildren(waiting(`Removing ${name} …`));
    try {
      await removeCard(customerId, card);
      look();
    } catch (error) {
      line.replaceChildren(failed(error, look));
    }
  };
  const ask = () => {
    const keep = button('Keep it', offer);
    const question = `Remove ${name}? You cannot pay with it any more then.`;
    line.replaceChildren(
      element('span', { class: 'question' }, question),
      element('span', { class: 'choices' }, button('Remove it', () => void remove()), keep),
    );
    keep.focus();
  };
  const offer = () => {
    const start = button('Remove', ask, { 'aria-label': `Remove ${name}` });
    line.replaceChildren(element('span', {}, name, expiry(card)), start);
    start.focus();
  };
  const line = element('li');
  offer();
  return line;
}

/** A card is removed once, so its key is fixed. Raises Refused, and what `askAs` raises. */
async function removeCard(customerId: string, { id }: Card): Promise<void> {
  const input = { idempotencyKey: `remove-${id}`, id };
  const { savedMethodRemove } = await askAs(customerId, RemoveCardDocument, { input });
  if (savedMethodRemove.__typename === 'SavedMethodPayload') return;
  throw new Refused(savedMethodRemove.code, savedMethodRemove.message);
}
