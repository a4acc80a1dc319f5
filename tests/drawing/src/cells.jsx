// Grafana publishes its heat map and state timeline in no package: these two are drawn here, on its own chart component.

import { getDisplayProcessor, getFieldDisplayName, getFieldSeriesColor } from '@grafana/data';
import { AxisPlacement, ScaleDirection, ScaleOrientation } from '@grafana/schema';
import { UPlotChart, UPlotConfigBuilder, useTheme2 } from '@grafana/ui';
import { interpolateOranges } from 'd3-scale-chromatic';

function Cells({ rows, step, width, height, timeRange, timeZone, gap }) {
  const theme = useTheme2();
  const builder = new UPlotConfigBuilder(timeZone);
  const [from, to] = [timeRange.from.valueOf(), timeRange.to.valueOf()];
  builder.addScale({ scaleKey: 'x', isTime: true, orientation: ScaleOrientation.Horizontal, direction: ScaleDirection.Right, range: () => [from, to] });
  builder.addScale({ scaleKey: 'y', orientation: ScaleOrientation.Vertical, direction: ScaleDirection.Up, range: () => [0, rows.length] });
  builder.addAxis({ scaleKey: 'x', isTime: true, placement: AxisPlacement.Bottom, timeZone, theme });
  const splits = rows.map((_, index) => index + 0.5);
  builder.addAxis({
    scaleKey: 'y', placement: AxisPlacement.Left, theme, grid: { show: false }, splits: () => splits, values: () => rows.map((row) => row.label), size: 100,
  });
  builder.addSeries({ scaleKey: 'y', theme, lineWidth: 0, show: true, pxAlign: true });
  builder.addHook('draw', (plot) => {
    for (const [index, row] of rows.entries()) {
      const [top, bottom] = [plot.valToPos(index + 1, 'y', true), plot.valToPos(index, 'y', true)];
      for (const [at, colour] of row.cells) {
        const [left, right] = [Math.max(at, from), Math.min(at + step, to)].map((time) => plot.valToPos(time, 'x', true));
        plot.ctx.fillStyle = colour;
        plot.ctx.fillRect(left, top + gap, Math.max(1, right - left - (gap === 1 ? 1 : -0.5)), bottom - top - 2 * gap);
      }
    }
  });
  return <UPlotChart data={[[from, to], [null, null]]} config={builder} width={width} height={height} timeRange={timeRange} />;
}

const stepOf = (frame) => frame?.fields[0].config.interval ?? 60_000;

export function StateTimeline({ data, width, height, timeRange, timeZone }) {
  const theme = useTheme2();
  const rows = data.series.map((frame) => {
    const [time, value] = frame.fields;
    const colour = getFieldSeriesColor(value, theme).color;
    return { label: getFieldDisplayName(value, frame, data.series), cells: time.values.map((at) => [at, colour]) };
  });
  const sorted = rows.sort((a, b) => b.label.localeCompare(a.label));
  return <Cells rows={sorted} step={stepOf(data.series[0])} gap={3} {...{ width, height, timeRange, timeZone }} />;
}

export function Heatmap({ data, options, width, height, timeRange, timeZone }) {
  const theme = useTheme2();
  const unit = getDisplayProcessor({ field: { config: { unit: options.yAxis.unit } }, theme });
  const most = Math.max(0, ...data.series.flatMap((frame) => frame.fields[1].values));
  const least = options.filterValues.le;
  const rows = data.series.map((frame) => {
    const [time, value] = frame.fields;
    const cells = time.values.map((at, index) => [at, value.values[index]]).filter(([, count]) => count > least);
    const bound = Number(value.labels.le);
    const label = Number.isNaN(bound) ? value.labels.le : `${unit(bound).text}${unit(bound).suffix ?? ''}`;
    return { label, cells: cells.map(([at, count]) => [at, interpolateOranges(1 - 0.85 * Math.sqrt(count / most))]) };
  });
  return <Cells rows={rows} step={stepOf(data.series[0])} gap={1} {...{ width, height, timeRange, timeZone }} />;
}
