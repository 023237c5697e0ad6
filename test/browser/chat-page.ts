import { chromium, type Browser, type BrowserContextOptions, type Locator, type Page } from 'playwright-core';
import { closeAfterwards, servers, until } from '../kit/index.js';

const ARGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export async function openBrowser(): Promise<Browser> {
  return closeAfterwards(await chromium.launch({ executablePath: servers.chromium(), args: ARGS }));
}

/** A line of the page's messages, as it reads. */
export interface Line {
  name: string;
  text: string;
  node: string;
  recovered: boolean;
}

/** The chat's page in a browser of its own person. Whatever is awaited is a state of the page. */
export class ChatPage {
  /** Errors that the page has thrown. */
  readonly errors: Error[] = [];

  private constructor(
    readonly page: Page,
    readonly name: string,
  ) {
    page.on('pageerror', (error) => this.errors.push(error));
  }

  /** @param options of the browser's context; `node` is the one to begin on */
  static async open(
    browser: Browser,
    address: string,
    { name, node, ...options }: { name: string; node: number } & BrowserContextOptions,
  ): Promise<ChatPage> {
    const context = closeAfterwards(await browser.newContext(options));
    const chat = new ChatPage(await context.newPage(), name);
    await chat.page.addInitScript(`sessionStorage.setItem('name', ${JSON.stringify(name)})`);
    await chat.page.goto(`${address}/?node=${node}`);
    // A click ends a cut, and not the countdown when a test is slow.
    await chat.page.locator('#cut').evaluate((button) => button.setAttribute('data-seconds', '60'));
    await chat.isOn(node);
    await until(async () => (await chat.people()).includes(name), { what: `${name} to be in the room` });
    return chat;
  }

  async send(...texts: string[]): Promise<void> {
    const input = this.page.getByLabel('Message', { exact: true });
    for (const text of texts) {
      await input.fill(text);
      await input.press('Enter');
    }
  }

  async people(): Promise<string[]> {
    const text = await this.page.locator('#people').innerText();
    return text.replace('In this room: ', '').split(', ');
  }

  /** All messages that are confirmed, the newest last. */
  async lines(): Promise<Line[]> {
    return this.page
      .getByRole('log', { name: 'Messages' })
      .locator('.message:not([data-state])')
      .evaluateAll((items) =>
        items.map((item) => ({
          name: item.querySelector('b')?.textContent ?? '',
          text: item.querySelector('.text')?.textContent ?? '',
          node: item.querySelector('.node')?.textContent ?? '',
          recovered: item.querySelector('.chip')?.textContent === 'recovered',
        })),
      );
  }

  /** Waits until the page has as many messages as that, and returns their texts. */
  async texts(count: number): Promise<string[]> {
    let lines: Line[] = [];
    await until(async () => (lines = await this.lines()).length >= count, {
      what: `${count} messages on the page of ${this.name}`,
      timeout: 20_000,
    }).catch((error: Error) => {
      throw new Error(`${error.message}: ${JSON.stringify(lines)}`);
    });
    return lines.map(({ text }) => text);
  }

  /** What the page says of the messages that it received. */
  async tally(): Promise<Record<string, number>> {
    const entries = ['received', 'recovered', 'missing', 'doubled'].map(async (count) => [
      count,
      Number(await this.page.locator(`#${count}`).innerText()),
    ]);
    return Object.fromEntries(await Promise.all(entries)) as Record<string, number>;
  }

  button(name: string | RegExp): Locator {
    return this.page.getByRole('button', { name });
  }

  /** The card of a node. */
  node(number: number): Locator {
    return this.page.getByRole('listitem', { name: `Node ${number}` });
  }

  async nodeIs(number: number, state: string): Promise<void> {
    await this.sees(this.node(number).locator('.badge').getByText(state, { exact: true }));
  }

  /** Waits until it says that it is connected to that node. */
  async isOn(number: number): Promise<void> {
    await this.sees(this.page.getByText(`This page is on node ${number}`));
  }

  /** Waits until there is such a text. */
  async says(text: string | RegExp): Promise<void> {
    await this.sees(this.page.getByText(text).last());
  }

  private async sees(what: Locator): Promise<void> {
    await what.waitFor({ state: 'visible', timeout: 20_000 }).catch(async (error: Error) => {
      throw new Error(`${error.message}\nThe page of ${this.name} reads:\n${await this.page.innerText('body')}`);
    });
  }
}
