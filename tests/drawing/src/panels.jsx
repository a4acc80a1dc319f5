// The panels of Grafana that the dashboards use, as its panel plugins put them together from its components.

import { FieldType, PanelPlugin, cacheFieldDisplayNames, getDisplayValueAlignmentFactors, getFieldDisplayValues } from '@grafana/data';
import { sceneUtils } from '@grafana/scenes';
import { BigValueTextMode, VizOrientation } from '@grafana/schema';
import { BarGauge, BigValue, TimeSeries, VizRepeater, useTheme2 } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import { useMemo } from 'react';

import { Heatmap, StateTimeline } from './cells.jsx';
import { useCustomConfig } from './registries.js';

function useValues({ data, options, fieldConfig, replaceVariables, timeZone }) {
  const theme = useTheme2();
  return () =>
    getFieldDisplayValues({ fieldConfig, reduceOptions: options.reduceOptions, replaceVariables, theme, data: data.series, sparkline: false, timeZone });
}

function Stat(props) {
  const { data, options, width, height, renderCounter } = props;
  const theme = useTheme2();
  const textMode = options.textMode ?? BigValueTextMode.Auto;
  const one = ({ value: { display }, alignmentFactors, width, height, count }) => (
    <BigValue
      value={display} count={count} theme={theme} colorMode={options.colorMode} graphMode="none" justifyMode={options.justifyMode} textMode={textMode}
      alignmentFactors={alignmentFactors} text={options.text} width={width} height={height} wideLayout={options.wideLayout}
    />
  );
  return (
    <VizRepeater
      getValues={useValues(props)} getAlignmentFactors={getDisplayValueAlignmentFactors} renderValue={one} source={data} itemSpacing={3} autoGrid
      renderCounter={renderCounter} orientation={options.orientation} width={width} height={height}
    />
  );
}

function BarGauges(props) {
  const { data, options, width, height, renderCounter } = props;
  const theme = useTheme2();
  const one = ({ value: { display, field }, alignmentFactors, orientation, width, height, count }) => (
    <BarGauge
      value={display} field={field} display={display.display} theme={theme} text={options.text} displayMode={options.displayMode} width={width}
      height={height} orientation={orientation} itemSpacing={8} lcdCellWidth={12} alignmentFactors={count > 1 ? alignmentFactors : undefined}
      showUnfilled={options.showUnfilled} valueDisplayMode={options.valueMode} namePlacement={options.namePlacement}
    />
  );
  return (
    <VizRepeater
      getValues={useValues(props)} getAlignmentFactors={getDisplayValueAlignmentFactors} renderValue={one} source={data} itemSpacing={8}
      minVizWidth={options.minVizWidth} minVizHeight={options.minVizHeight} renderCounter={renderCounter} width={width} height={height}
      orientation={options.orientation ?? VizOrientation.Horizontal}
    />
  );
}

function Nothing({ fieldConfig, height }) {
  return <div style={{ height, display: 'grid', placeItems: 'center' }}>{fieldConfig.defaults.noValue ?? 'No data'}</div>;
}

/** A value that is not a number, such as a quantile of nothing, is a gap. */
const drawable = (frame) => ({
  ...frame,
  fields: frame.fields.map((field) =>
    field.type === FieldType.number ? { ...field, values: field.values.map((value) => (Number.isFinite(value) ? value : null)) } : field
  ),
});

function Lines({ data, options, fieldConfig, width, height, timeRange, timeZone }) {
  const frames = useMemo(() => data.series.map(drawable), [data.series]);
  if (frames.length === 0) {
    return <Nothing fieldConfig={fieldConfig} height={height} />;
  }
  return <TimeSeries frames={frames} legend={options.legend} options={options} {...{ width, height, timeRange, timeZone }} />;
}

function Table({ data, options, fieldConfig, width, height, timeRange }) {
  const [frame] = data.series;
  cacheFieldDisplayNames(data.series);
  if (!frame?.length) {
    return <Nothing fieldConfig={fieldConfig} height={height} />;
  }
  return (
    <TableNG
      data={frame} fieldConfig={fieldConfig} sortBy={options.sortBy} cellHeight={options.cellHeight} noHeader={!options.showHeader} width={width}
      height={height} timeRange={timeRange} noValue={fieldConfig.defaults.noValue} enableVirtualization={false}
    />
  );
}

const PANELS = { stat: Stat, bargauge: BarGauges, timeseries: Lines, table: Table, heatmap: Heatmap, 'state-timeline': StateTimeline };

export function registerPanels() {
  for (const [pluginId, Panel] of Object.entries(PANELS)) {
    sceneUtils.registerRuntimePanelPlugin({ pluginId, plugin: new PanelPlugin(Panel).useFieldConfig({ useCustomConfig }) });
  }
}
