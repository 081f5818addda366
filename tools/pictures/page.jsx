// One dashboard as a page: Grafana's own components at the places of the dashboard's grid.
import { createTheme, dateTime, getFieldDisplayValues, getValueFormat, formattedValueToString } from '@grafana/data';
import { BigValue, GlobalStyles, PanelChrome, Table, ThemeContext, TimeSeries, VizRepeater } from '@grafana/ui';
import { createRoot } from 'react-dom/client';
import { initialise, panelFrames } from './frames.js';

const WIDTH = 1560;
const ROW = 30;
const GAP = 8;
const { dashboard } = window;
const theme = createTheme({ colors: { mode: 'light' } });
const range = { from: dateTime(dashboard.from * 1000), to: dateTime(dashboard.to * 1000) };
range.raw = { from: range.from, to: range.to };

function NoValue({ panel }) {
  const style = { display: 'flex', height: '100%', alignItems: 'center', justifyContent: 'center', textAlign: 'center', color: theme.colors.text.secondary };
  return <div style={style}>{panel.fieldConfig.defaults.noValue}</div>;
}

// A mark of an annotation: a dashed line across the graph and a triangle under it, as Grafana draws them.
function drawMarks(plot) {
  for (const { at, colour } of dashboard.marks) {
    const x = Math.round(plot.valToPos(at * 1000, 'x', true));
    if (x < plot.bbox.left || x > plot.bbox.left + plot.bbox.width) continue;
    const { ctx } = plot;
    const bottom = plot.bbox.top + plot.bbox.height;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = colour;
    ctx.setLineDash([3, 3]);
    ctx.beginPath();
    ctx.moveTo(x, plot.bbox.top);
    ctx.lineTo(x, bottom);
    ctx.stroke();
    ctx.beginPath();
    ctx.moveTo(x - 4, bottom + 5);
    ctx.lineTo(x + 4, bottom + 5);
    ctx.lineTo(x, bottom);
    ctx.fill();
    ctx.restore();
  }
}

function Graph({ panel, frames, width, height }) {
  const { legend } = panel.options;
  const marked = (config) => {
    if (!config.isMarked) {
      config.isMarked = true;
      config.addHook('draw', drawMarks);
    }
    return null;
  };
  return <TimeSeries frames={frames} structureRev={1} timeRange={range} timeZone="utc" width={width} height={height} legend={legend}>{marked}</TimeSeries>;
}

function Numbers({ panel, frames, width, height }) {
  const { options, fieldConfig } = panel;
  const getValues = () => getFieldDisplayValues({ fieldConfig, reduceOptions: options.reduceOptions, replaceVariables: (text) => text, theme, data: frames, timeZone: 'utc' });
  const count = getValues().length;
  const renderValue = ({ value, width: w, height: h }) => (
    <BigValue value={value.display} width={w} height={h} theme={theme} colorMode={options.colorMode} graphMode="none" textMode={options.textMode} count={count} justifyMode="auto" />
  );
  return <VizRepeater source={frames} getValues={getValues} renderValue={renderValue} width={width} height={height} orientation="auto" renderCounter={1} autoGrid />;
}

// @grafana/ui has no heatmap: one cell for each bucket and step, darker where more observations are.
function Heatmap({ panel, frames, width, height }) {
  const bound = (frame) => Number(frame.fields[1].labels.le.replace('+Inf', 'Infinity'));
  const rows = [...frames].sort((one, other) => bound(one) - bound(other));
  const whole = rows.map((frame) => new Map(frame.fields[0].values.map((at, index) => [at, frame.fields[1].values[index]])));
  const parts = whole.map((row, index) => new Map([...row].map(([at, value]) => [at, value - (index ? whole[index - 1].get(at) ?? 0 : 0)])));
  const most = Math.max(...parts.flatMap((row) => [...row.values()]), 1e-9);
  const [left, bottom] = [60, 22];
  const [from, to] = [range.from.valueOf(), range.to.valueOf()];
  const cellHeight = (height - bottom) / rows.length;
  const cellWidth = Math.ceil(((width - left) * panel.step * 1000) / (to - from));
  const seconds = getValueFormat('s');
  const label = (frame) => (Number.isFinite(bound(frame)) ? formattedValueToString(seconds(bound(frame))) : '∞');
  const draw = (canvas) => {
    const context = canvas?.getContext('2d');
    parts.forEach((row, index) => row.forEach((value, at) => {
      if (!context || !(value > 0)) return;
      context.fillStyle = `hsl(24 95% ${92 - 60 * Math.sqrt(value / most)}%)`;
      context.fillRect(((width - left) * (at - from)) / (to - from), height - bottom - (index + 1) * cellHeight + 1, cellWidth, cellHeight - 1);
    }));
  };
  const times = [0.1, 0.3, 0.5, 0.7, 0.9].map((share) => [share, dateTime(from + share * (to - from)).utc().format('HH:mm:ss')]);
  const small = { position: 'absolute', fontSize: 12, color: theme.colors.text.primary };
  return (
    <div style={{ position: 'relative', width, height }}>
      {rows.map((frame, index) => (index % 2 ? null : <span key={index} style={{ ...small, right: width - left + 6, top: height - bottom - (index + 0.5) * cellHeight - 8 }}>{label(frame)}</span>))}
      <canvas ref={draw} width={width - left} height={height - bottom} style={{ position: 'absolute', left, top: 0 }} />
      {times.map(([share, text]) => <span key={share} style={{ ...small, left: left + share * (width - left) - 26, bottom: 0 }}>{text}</span>)}
    </div>
  );
}

const VIEWS = { timeseries: Graph, stat: Numbers, heatmap: Heatmap };

function View({ panel, frames, width, height }) {
  const isEmpty = !frames.length || frames.every((frame) => !frame.length);
  if (isEmpty && panel.type !== 'stat') return <NoValue panel={panel} />;
  if (panel.type === 'table') return <Table data={frames[0]} width={width} height={height} initialSortBy={panel.options.sortBy} timeRange={range} />;
  const Kind = VIEWS[panel.type];
  return <Kind panel={panel} frames={frames} width={width} height={height} />;
}

function Place({ panel, children }) {
  const { x, y, w } = panel.gridPos;
  const column = WIDTH / 24;
  return <div style={{ position: 'absolute', left: x * column, top: y * (ROW + GAP), width: w * column - GAP }}>{children}</div>;
}

function Board({ panels }) {
  const heading = { fontSize: 16, fontWeight: 500, lineHeight: `${ROW}px` };
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div style={{ width: WIDTH, padding: 16, background: theme.colors.background.canvas }}>
        <div style={{ fontSize: 22, fontWeight: 500 }}>{dashboard.title}</div>
        <div style={{ color: theme.colors.text.secondary, marginBottom: 10 }}>{dashboard.subtitle}</div>
        <div style={{ position: 'relative', height: dashboard.rows * (ROW + GAP) }}>
          {panels.map(({ panel, frames }) => (
            <Place key={`${panel.id}-${panel.title}`} panel={panel}>
              {panel.type === 'row' ? <div style={heading}>⌄ {panel.title}</div> : (
                <PanelChrome title={panel.title} description={panel.description} width={(panel.gridPos.w * WIDTH) / 24 - GAP} height={panel.gridPos.h * (ROW + GAP) - GAP} padding={panel.type === 'stat' || panel.type === 'table' ? 'sm' : 'md'}>
                  {(width, height) => <View panel={panel} frames={frames} width={width} height={height} />}
                </PanelChrome>
              )}
            </Place>
          ))}
        </div>
      </div>
    </ThemeContext.Provider>
  );
}

initialise();
const panels = await Promise.all(dashboard.panels.map(async (panel) => ({ panel, frames: panel.type === 'row' ? [] : await panelFrames(panel, theme) })));
createRoot(document.getElementById('root')).render(<Board panels={panels} />);
