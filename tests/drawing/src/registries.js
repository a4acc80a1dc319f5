// What Grafana's server page registers before it draws: kinds of field settings and transformations.

import {
  EventBusSrv,
  FieldType,
  booleanOverrideProcessor,
  dataLinksOverrideProcessor,
  displayNameOverrideProcessor,
  identityOverrideProcessor,
  numberOverrideProcessor,
  standardFieldConfigEditorRegistry,
  standardTransformers,
  standardTransformersRegistry,
  stringOverrideProcessor,
  thresholdsOverrideProcessor,
  valueMappingsOverrideProcessor,
} from '@grafana/data';
import { setAppEvents, setPluginImportUtils, setRunRequest } from '@grafana/runtime';
import { map } from 'rxjs';

const STANDARD = {
  displayName: displayNameOverrideProcessor,
  unit: stringOverrideProcessor,
  min: numberOverrideProcessor,
  max: numberOverrideProcessor,
  decimals: numberOverrideProcessor,
  noValue: stringOverrideProcessor,
  color: identityOverrideProcessor,
  thresholds: thresholdsOverrideProcessor,
  mappings: valueMappingsOverrideProcessor,
  links: dataLinksOverrideProcessor,
  filterable: booleanOverrideProcessor,
};

const TRANSFORMATIONS = [
  standardTransformers.mergeTransformer,
  standardTransformers.organizeFieldsTransformer,
  standardTransformers.groupingToMatrixTransformer,
  standardTransformers.calculateFieldTransformer,
  standardTransformers.filterFieldsTransformer,
  standardTransformers.filterFieldsByNameTransformer,
  standardTransformers.orderFieldsTransformer,
  standardTransformers.renameFieldsTransformer,
];

const CUSTOM = [
  'align', 'axisPlacement', 'axisSoftMax', 'axisSoftMin', 'barAlignment', 'cellOptions', 'drawStyle', 'fillOpacity', 'filterable', 'hideFrom', 'insertNulls', 'inspect',
  'lineInterpolation', 'lineStyle', 'lineWidth', 'minWidth', 'pointSize', 'scaleDistribution', 'showPoints', 'spanNulls', 'stacking', 'thresholdsStyle', 'width', 'wrapHeaderText',
];

const item = (id, path, process) => ({ id, path, name: path, editor: () => null, override: () => null, process, shouldApply: () => true });

/** For `PanelPlugin.useFieldConfig`: the settings of the panels' own. */
export const useCustomConfig = (builder) => {
  for (const path of CUSTOM) {
    builder.addCustomEditor({ ...item(path, path, identityOverrideProcessor), shouldApply: (field) => field.type !== FieldType.time || path === 'hideFrom' });
  }
};

export function register() {
  standardFieldConfigEditorRegistry.setInit(() => Object.entries(STANDARD).map(([path, process]) => item(path, path, process)));
  standardTransformersRegistry.setInit(() =>
    TRANSFORMATIONS.map((transformation) => ({
      id: transformation.id, name: transformation.name, transformation: async () => transformation, editor: () => null, description: '', imageDark: '', imageLight: '',
    }))
  );
  setAppEvents(new EventBusSrv());
  setPluginImportUtils({ getPanelPluginFromCache: () => undefined, importPanelPlugin: (id) => Promise.reject(new Error(`no panel ${id}`)) });
  setRunRequest((source, request) =>
    source.query(request).pipe(map(({ data, state }) => ({ state, series: data, request, timeRange: request.range })))
  );
}
