// What Streamlit calls for the text of a definition: once for every change of data or theme, on the same element.
import { SourceView } from "./view.js";

const views = new WeakMap();

export default function source(component) {
  const place = component.parentElement;
  let view = views.get(place);
  if (!view) {
    view = new SourceView(place);
    views.set(place, view);
  }
  view.update(component);
  return () => {
    views.delete(place);
    view.destroy();
  };
}
