// Draws status pages as a desktop and a phone show them, in the light and in the dark: node status.mjs FOLDER NAME=ADDRESS…
// Fails when the browser complains about a page, or a page is wider than its window.

import { chromium } from 'playwright-core';

const [folder, ...pages] = process.argv.slice(2);
const windows = { desktop: { width: 1100, height: 700 }, phone: { width: 390, height: 844 } };
const wrong = [];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox', '--disable-gpu', '--disable-quic'] });
for (const [name, address] of pages.map((page) => page.split(/=(.*)/))) {
  for (const [device, viewport] of Object.entries(windows)) {
    for (const colorScheme of ['light', 'dark']) {
      const picture = `${name}-${device}-${colorScheme}`;
      const page = await browser.newPage({ viewport, colorScheme, isMobile: device === 'phone', hasTouch: device === 'phone' });
      // Browsers ask for an icon of their own accord.
      page.on('console', (message) => message.location().url.endsWith('/favicon.ico') || wrong.push(`${picture}: ${message.text()}`));
      await page.goto(address);
      const [needed, styled] = await page.evaluate(() => [
        document.documentElement.scrollWidth,
        getComputedStyle(document.querySelector('dl')).display === 'grid',
      ]);
      if (needed > viewport.width) wrong.push(`${picture}: ${needed} pixels wide`);
      if (!styled) wrong.push(`${picture}: the style was not applied`);
      await page.screenshot({ path: `${folder}/${picture}.png`, fullPage: true });
      await page.close();
    }
  }
}
await browser.close();
if (wrong.length > 0) {
  console.error(wrong.join('\n'));
  process.exit(1);
}
