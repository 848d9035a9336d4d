// Customers: in a real shop these are the accounts of your own database, with real passwords.
import {
  CreateCustomerTokenDocument,
  GiveStoreCreditDocument,
  OpenAccountDocument,
  StoreCreditDocument,
  type AccountKind,
} from '../generated/server.ts';
import { CURRENCY } from './catalogue.ts';
import { problem, type Ask } from './counterfoil.ts';

export const CUSTOMERS: readonly string[] = ['anna', 'ben', 'clara'];
const WELCOME_MINOR = '2000';
const TOKEN_SECONDS = 300;

/** Store credit for a new customer. Its keys are fixed, so whoever comes again gets no second gift. */
export async function welcome(ask: Ask, customerId: string): Promise<void> {
  const expense = await account(ask, 'expense:store_credit', 'EXPENSE');
  const wallet = await account(ask, walletOf(customerId), 'LIABILITY');
  const amount = { amountMinor: WELCOME_MINOR, currency: CURRENCY };
  const { transferCreate } = await ask(GiveStoreCreditDocument, {
    input: {
      idempotencyKey: `welcome-${customerId}`,
      kind: 'store_credit_grant',
      description: 'Welcome',
      legs: [
        { accountId: expense, direction: 'DEBIT', amount },
        { accountId: wallet, direction: 'CREDIT', amount },
      ],
    },
  });
  if (transferCreate.__typename !== 'TransactionPayload') throw problem(transferCreate);
}

async function account(ask: Ask, path: string, kind: AccountKind): Promise<string> {
  const { accountCreate } = await ask(OpenAccountDocument, {
    input: { idempotencyKey: `open-${path}`, path, kind, currency: CURRENCY },
  });
  if (accountCreate.__typename !== 'AccountPayload') throw problem(accountCreate);
  return accountCreate.account.id;
}

/** What a customer can spend now, in cents, and the account it is on; null if there is nothing. */
export async function storeCredit(
  ask: Ask,
  customerId: string,
): Promise<{ accountId: string; minorUnits: number } | null> {
  const { account } = await ask(StoreCreditDocument, { path: walletOf(customerId) });
  const minorUnits = Number(account?.balance.available.amountMinor ?? 0);
  return account !== null && minorUnits > 0 ? { accountId: account.id, minorUnits } : null;
}

function walletOf(customerId: string): string {
  return `customer:${customerId}:wallet`;
}

export interface CustomerToken {
  token: string;
  expiresAt: string;
}

/** For the browser of a customer who is logged in here. */
export async function tokenFor(ask: Ask, customerId: string): Promise<CustomerToken> {
  const { customerTokenCreate } = await ask(CreateCustomerTokenDocument, {
    input: { customerId, expiresInSeconds: TOKEN_SECONDS },
  });
  if (customerTokenCreate.__typename !== 'CustomerTokenPayload') throw problem(customerTokenCreate);
  return { token: customerTokenCreate.token, expiresAt: customerTokenCreate.expiresAt };
}
