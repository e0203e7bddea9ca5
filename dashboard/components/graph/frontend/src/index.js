// What Streamlit calls: once for every change of data or theme, on the same element as long as it is shown.
import { GraphView } from "./view.js";

const views = new WeakMap();

export default function graph(component) {
  const place = component.parentElement;
  let view = views.get(place);
  if (!view) {
    view = new GraphView(place);
    views.set(place, view);
  }
  view.update(component);
  return () => {
    views.delete(place);
    view.destroy();
  };
}
