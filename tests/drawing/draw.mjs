// Draws dashboards into pictures: node draw.mjs PROMETHEUS TO FOLDER NAME[?QUERY]…; TO is the time that is now, in seconds since 1970.
// The query chooses values of variables (`var-agent=user-001`), and with `as=OTHER` another name for the picture.
// Started in the folder that holds `dashboards`.

import { readFile } from 'node:fs/promises';
import { join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

import { chromium } from 'playwright-core';
import sharp from 'sharp';
import { createServer } from 'vite';

const [prometheus, to, folder, ...names] = process.argv.slice(2);
const root = fileURLToPath(new URL('.', import.meta.url));

/** What the page asks for that is not its own: the dashboards, and Grafana's icons. */
const files = {
  name: 'files',
  configureServer: ({ middlewares }) => {
    middlewares.use(async (request, response, next) => {
      const path = normalize(new URL(request.url, 'http://localhost').pathname);
      const folders = { '/dashboards/': '.', '/public/': join(root, 'node_modules/@grafana/ui/dist') };
      const found = Object.entries(folders).find(([prefix]) => path.startsWith(prefix));
      const bytes = found && (await readFile(join(found[1], path)).catch(() => undefined));
      if (!bytes) {
        return next();
      }
      response.setHeader('content-type', path.endsWith('.svg') ? 'image/svg+xml' : 'application/json');
      response.end(bytes);
    });
  },
};
const server = await createServer({
  root,
  publicDir: false,
  configFile: false,
  logLevel: 'warn',
  plugins: [files],
  server: { host: '127.0.0.1', hmr: false, watch: null },
  esbuild: { jsx: 'automatic' },
  define: { 'process.env.NODE_ENV': '"production"' },
  optimizeDeps: { include: ['react/jsx-runtime'] },
});
await server.listen();
const address = `http://127.0.0.1:${server.httpServer.address().port}`;

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
let failed = false;

/** A picture of the page when it no longer changes. */
async function settled(page) {
  let before;
  for (let attempt = 0; attempt < 30; attempt += 1) {
    await page.waitForTimeout(3000);
    const now = await page.screenshot();
    if (before?.equals(now)) {
      return now;
    }
    before = now;
  }
  throw new Error('the page does not come to rest');
}

for (const asked of names) {
  const [name, query = ''] = asked.split('?');
  const page = await browser.newPage({ viewport: { width: 1600, height: 1000 }, timezoneId: 'UTC' });
  const complain = (text) => {
    failed = true;
    console.error(`${name}: ${text}`);
  };
  page.on('pageerror', (error) => complain(error.stack));
  page.on('console', (message) => message.type() === 'error' && console.error(`${name}: ${message.text()}`));
  page.on('response', (response) => response.status() >= 400 && (response.url().includes('/api/') ? complain : console.error)(`${response.status()} ${response.url()}`));
  page.setDefaultTimeout(300_000);
  await page.goto(`${address}/?dashboard=${name}&prometheus=${encodeURIComponent(prometheus)}&to=${to}&${query}`);
  await page.waitForFunction(() => document.querySelector('#root > div'));
  const height = await page.evaluate(() => document.querySelector('#root > div').scrollHeight);
  await page.setViewportSize({ width: 1600, height });
  await page.waitForLoadState('networkidle');
  const picture = sharp(await settled(page)).png({ palette: true, quality: 100, effort: 10 });
  const shown = new URLSearchParams(query).get('as') ?? name;
  await picture.toFile(join(folder, `dashboard-${shown}.png`));
  await page.close();
}
await browser.close();
await server.close();
process.exit(failed ? 1 : 0);
