// Draws one dashboard: /?dashboard=floor&prometheus=http://127.0.0.1:9090&to=1781790000[&var-agent=user-001]

import '@fontsource/inter/400.css';
import '@fontsource/inter/500.css';

import { createTheme } from '@grafana/data';
import { initPluginTranslations } from '@grafana/i18n';
import {
  CustomVariable, EmbeddedScene, QueryVariable, SceneControlsSpacer, SceneDataTransformer, SceneGridItem, SceneGridLayout, SceneGridRow,
  SceneQueryRunner, SceneTimePicker, SceneTimeRange, SceneVariableSet, VariableValueSelectors, VizPanel, sceneUtils,
} from '@grafana/scenes';
import { GlobalStyles, PortalContainer } from '@grafana/ui';
import { createRoot } from 'react-dom/client';
import { MemoryRouter } from 'react-router-dom';

import { registerPanels } from './panels.jsx';
import { Prometheus } from './prometheus.js';
import { register } from './registries.js';

const SOURCE = { type: 'prometheus', uid: 'prometheus' };
const asked = new URLSearchParams(location.search);

function variable(definition) {
  const { name, label, hide } = definition;
  if (definition.type === 'datasource') {
    return new CustomVariable({ name, label, query: `Prometheus : ${SOURCE.uid}`, value: SOURCE.uid, text: 'Prometheus' });
  }
  if (definition.type === 'custom') {
    return new CustomVariable({ name, label, hide, query: definition.query, value: definition.current.value, text: definition.current.text });
  }
  const { query, sort, refresh, multi: isMulti, includeAll, allValue } = definition;
  const chosen = asked.get(`var-${name}`);
  const value = chosen ?? (includeAll ? '$__all' : '');
  return new QueryVariable({
    name, label, hide, query, sort, refresh, isMulti, includeAll, allValue, datasource: SOURCE, value: isMulti ? [value] : value,
    text: chosen ?? (includeAll ? 'All' : ''),
  });
}

function item(panel, y = panel.gridPos.y) {
  const { type: pluginId, title, description, options, fieldConfig, transformations, targets } = panel;
  const queries = new SceneQueryRunner({ datasource: SOURCE, queries: targets, minInterval: panel.interval, maxDataPoints: 40 * panel.gridPos.w });
  const $data = transformations ? new SceneDataTransformer({ $data: queries, transformations }) : queries;
  const body = new VizPanel({ pluginId, title, description, options, fieldConfig, $data });
  return new SceneGridItem({ x: panel.gridPos.x, y, width: panel.gridPos.w, height: panel.gridPos.h, body });
}

function grid(panels) {
  const children = [];
  let row;
  for (const panel of panels) {
    if (panel.type === 'row') {
      row = new SceneGridRow({ title: panel.title, y: panel.gridPos.y, isCollapsed: false, children: [] });
      children.push(row);
      row.setState({ children: (panel.panels ?? []).map((inner) => item(inner)) });
    } else if (row) {
      row.setState({ children: [...row.state.children, item(panel)] });
    } else {
      children.push(item(panel));
    }
  }
  return new SceneGridLayout({ children });
}

function scene(dashboard) {
  const to = new Date(Number(asked.get('to')) * 1000);
  const [, number, unit] = /^now-(\d+)([hd])$/.exec(dashboard.time.from);
  const from = new Date(to.getTime() - number * { h: 3_600_000, d: 86_400_000 }[unit]);
  return new EmbeddedScene({
    $timeRange: new SceneTimeRange({ from: from.toISOString(), to: to.toISOString(), timeZone: 'utc' }),
    $variables: new SceneVariableSet({ variables: dashboard.templating.list.map(variable) }),
    controls: [new VariableValueSelectors({}), new SceneControlsSpacer(), new SceneTimePicker({})],
    body: grid(dashboard.panels),
  });
}

async function draw() {
  await initPluginTranslations('grafana-scenes');
  register();
  registerPanels();
  sceneUtils.registerRuntimeDataSource({ dataSource: new Prometheus(asked.get('prometheus')) });
  const dashboard = await (await fetch(`/dashboards/${asked.get('dashboard')}.json`)).json();
  const drawn = scene(dashboard);
  const theme = createTheme({ colors: { mode: 'dark' } });
  const panels = dashboard.panels.flatMap((panel) => [panel, ...(panel.panels ?? [])]);
  const rows = Math.max(...panels.map(({ gridPos }) => gridPos.y + gridPos.h));
  document.title = dashboard.title;
  createRoot(document.getElementById('root')).render(
    <MemoryRouter>
      <GlobalStyles />
      <div style={{ background: theme.colors.background.canvas, padding: 8, height: rows * 38 + 110, boxSizing: 'border-box', display: 'flex' }}>
        <div style={{ flex: 1, minWidth: 0 }}>
          <drawn.Component model={drawn} />
        </div>
      </div>
      <PortalContainer />
    </MemoryRouter>
  );
}

await draw();
