// A data source that asks Prometheus itself, as Grafana's does through its server: the same frames, legends and intervals.

import { FieldType, LoadingState, rangeUtil } from '@grafana/data';
import { RuntimeDataSource, sceneGraph } from '@grafana/scenes';
import { from } from 'rxjs';

/** The scrape interval of Prometheus, as in the settings of Grafana's data source. */
const SCRAPE_SECONDS = 60;

/** The values of a variable in a regular expression. */
function asRegex(value, variable) {
  if (typeof value === 'string' && !variable.multi && !variable.includeAll) {
    return value.replace(/[\\^$*+?.()|[\]{}"]/g, '\\\\$&');
  }
  const values = (Array.isArray(value) ? value : [value]).map((one) => one.replace(/[\\^$*+?.()|[\]{}"]/g, '\\\\$&'));
  return values.length === 1 ? values[0] : `(${values.join('|')})`;
}

function named(legend, labels) {
  if (!legend || legend === '__auto') {
    const pairs = Object.entries(labels).filter(([name]) => name !== '__name__');
    return pairs.length === 1 ? pairs[0][1] : `{${pairs.map(([name, value]) => `${name}="${value}"`).join(', ')}}`;
  }
  return legend.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => labels[name] ?? '');
}

function tableOf(refId, result, several) {
  const names = [...new Set(result.flatMap((one) => Object.keys(one.metric)))].sort();
  const field = (name, type, values) => ({ name, type, values, config: {} });
  return {
    refId,
    length: result.length,
    fields: [
      field('Time', FieldType.time, result.map((one) => one.value[0] * 1000)),
      ...names.map((name) => field(name, FieldType.string, result.map((one) => one.metric[name] ?? ''))),
      field(several ? `Value #${refId}` : 'Value', FieldType.number, result.map((one) => Number(one.value[1]))),
    ],
  };
}

function seriesOf(target, step, one) {
  const points = one.values ?? [one.value];
  const config = { displayNameFromDS: named(target.legendFormat, one.metric) };
  return {
    refId: target.refId,
    length: points.length,
    fields: [
      { name: 'Time', type: FieldType.time, values: points.map(([at]) => at * 1000), config: { interval: step * 1000 } },
      { name: 'Value', type: FieldType.number, values: points.map(([, value]) => Number(value)), labels: one.metric, config },
    ],
  };
}

/** Each bucket less the one before it. */
function apart(result) {
  const sorted = [...result].sort((a, b) => Number(a.metric.le.replace('+Inf', 'Infinity')) - Number(b.metric.le.replace('+Inf', 'Infinity')));
  const points = (one) => one.values ?? [one.value];
  return sorted.map((one, index) => {
    const before = index === 0 ? new Map() : new Map(points(sorted[index - 1]));
    const own = points(one).map(([at, value]) => [at, String(Math.max(0, Number(value) - Number(before.get(at) ?? 0)))]);
    return { metric: one.metric, ...(one.values ? { values: own } : { value: own[0] }) };
  });
}

export class Prometheus extends RuntimeDataSource {
  constructor(address) {
    super('prometheus', 'prometheus');
    this.address = address;
  }

  async ask(path, parameters) {
    const response = await fetch(`${this.address}/api/v1/${path}`, { method: 'POST', body: new URLSearchParams(parameters) });
    const answer = await response.json();
    if (answer.status !== 'success') {
      throw new Error(answer.error);
    }
    return answer.data;
  }

  interpolate(scopedVars, text, intervals = {}) {
    const scene = scopedVars.__sceneObject.value.valueOf();
    const expanded = text.replace(/\$(__\w+)/g, (whole, name) => intervals[name] ?? whole);
    return sceneGraph.interpolate(scene, expanded, scopedVars, asRegex);
  }

  query(request) {
    return from(this.answer(request));
  }

  async answer(request) {
    const { from: start, to: end } = request.range;
    const seconds = Math.round((end.valueOf() - start.valueOf()) / 1000);
    const step = Math.max(SCRAPE_SECONDS, Math.ceil(rangeUtil.intervalToSeconds(request.interval ?? '1m') / SCRAPE_SECONDS) * SCRAPE_SECONDS);
    const intervals = {
      __range: `${seconds}s`,
      __interval: `${step}s`,
      __rate_interval: `${Math.max(step + SCRAPE_SECONDS, 4 * SCRAPE_SECONDS)}s`,
    };
    const several = request.targets.length > 1;
    const frames = request.targets.map(async (target) => {
      const query = this.interpolate(request.scopedVars, target.expr, intervals);
      const aligned = (time) => Math.floor(time.valueOf() / 1000 / step) * step;
      const data = target.instant
        ? await this.ask('query', { query, time: end.valueOf() / 1000 })
        : await this.ask('query_range', { query, start: aligned(start), end: aligned(end), step });
      if (target.format === 'table') {
        return [tableOf(target.refId, data.result, several)];
      }
      const result = target.format === 'heatmap' ? apart(data.result) : data.result;
      return result.map((one) => seriesOf(target, step, one));
    });
    return { data: (await Promise.all(frames)).flat(), state: LoadingState.Done };
  }

  async metricFindQuery(query, options) {
    const text = typeof query === 'string' ? query : query.query;
    const [, series, label] = /^label_values\((.*), (\w+)\)$/s.exec(this.interpolate(options.scopedVars, text));
    const { from: start, to: end } = options.range;
    const values = await this.ask('query', { query: `group by (${label}) (last_over_time((${series})[1d:1h]))`, time: end.valueOf() / 1000, start });
    return values.result.map((one) => one.metric[label]).filter(Boolean).sort().map((text) => ({ text }));
  }

  async testDatasource() {
    return { status: 'success', message: '' };
  }
}
