// Prometheus' answers as Grafana's data frames, with the panel's transformations and field configuration applied.
import {
  applyFieldOverrides, createDataFrame, FieldType, renderLegendFormat, standardFieldConfigEditorRegistry,
  standardTransformers, standardTransformersRegistry, transformDataFrame,
} from '@grafana/data';
import { lastValueFrom } from 'rxjs';

const CUSTOM = [
  'drawStyle', 'lineWidth', 'fillOpacity', 'showPoints', 'spanNulls', 'stacking', 'thresholdsStyle', 'axisSoftMax',
  'axisSoftMin', 'axisPlacement', 'cellOptions', 'lineStyle', 'hideFrom', 'align', 'filterable', 'minWidth', 'width',
];
const STANDARD = ['unit', 'min', 'max', 'decimals', 'displayName', 'color', 'noValue', 'links', 'mappings', 'thresholds'];

const item = (id, path, isCustom) => ({
  id, path, name: id, isCustom, process: (value) => value, shouldApply: () => true, override: () => null, editor: () => null,
});

export function initialise() {
  standardFieldConfigEditorRegistry.setInit(() => [
    ...STANDARD.map((name) => item(name, name, false)),
    ...CUSTOM.map((name) => item(`custom.${name}`, name, true)),
  ]);
  standardTransformersRegistry.setInit(() => [standardTransformers.mergeTransformer, standardTransformers.organizeFieldsTransformer].map(
    (each) => ({ id: each.id, name: each.name, transformation: each, editor: () => null }),
  ));
}

const number = (text) => (text === 'NaN' ? null : Number(text));

function seriesFrames(target, step) {
  return target.result.map((series) => {
    const points = series.values ?? [series.value];
    const name = target.legend ? renderLegendFormat(target.legend, series.metric) : JSON.stringify(series.metric);
    return createDataFrame({
      refId: target.refId,
      fields: [
        { name: 'Time', type: FieldType.time, values: points.map(([at]) => at * 1000), config: { interval: step * 1000 } },
        { name: 'Value', type: FieldType.number, labels: series.metric, values: points.map(([, text]) => number(text)), config: { displayNameFromDS: name } },
      ],
    });
  });
}

function tableFrame(target, isOnly) {
  const labels = [...new Set(target.result.flatMap((series) => Object.keys(series.metric)))].sort();
  return createDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: target.result.map((series) => series.value[0] * 1000) },
      ...labels.map((label) => ({ name: label, type: FieldType.string, values: target.result.map((series) => series.metric[label] ?? '') })),
      { name: isOnly ? 'Value' : `Value #${target.refId}`, type: FieldType.number, values: target.result.map((series) => number(series.value[1])) },
    ],
  });
}

export async function panelFrames(panel, theme) {
  // JSON has no -Infinity: the first threshold's value is null, as in a dashboard's file.
  panel.fieldConfig.defaults.thresholds?.steps.forEach((each) => { each.value ??= -Infinity; });
  const isTable = panel.type === 'table';
  const full = panel.targets.filter((target) => target.result.length > 0);
  let frames = isTable ? full.map((target) => tableFrame(target, panel.targets.length === 1)) : full.flatMap((target) => seriesFrames(target, panel.step));
  if (panel.transformations?.length && frames.length) {
    frames = await lastValueFrom(transformDataFrame(panel.transformations, frames, { interpolate: (text) => text }));
  }
  return applyFieldOverrides({ data: frames, fieldConfig: panel.fieldConfig, theme, replaceVariables: (text) => text, timeZone: 'utc' });
}
