// In place of react-custom-scrollbars-2: @grafana/ui imports its default export, which esbuild does not see in CommonJS.
import whole from './node_modules/react-custom-scrollbars-2/lib/index.js';

export default whole.Scrollbars;
