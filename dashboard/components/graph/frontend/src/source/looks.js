// The looks of the text, from the variables of Streamlit's theme.
import { HighlightStyle } from "@codemirror/language";
import { EditorView } from "@codemirror/view";
import { tags } from "@lezer/highlight";

export const highlighting = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--st-blue-text-color)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--st-green-text-color)" },
  { tag: [tags.number, tags.bool, tags.null, tags.keyword], color: "var(--st-violet-text-color)" },
  { tag: [tags.comment, tags.lineComment], color: "var(--st-text-color)", opacity: "0.72", fontStyle: "italic" },
  { tag: [tags.meta, tags.typeName, tags.labelName], color: "var(--st-orange-text-color)" },
]);

export const looks = EditorView.theme({
  "&": { height: "100%", fontSize: "13px", color: "var(--st-text-color)", backgroundColor: "var(--st-background-color)" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--st-code-font, monospace)", lineHeight: "1.55" },
  ".cm-content": { caretColor: "var(--st-text-color)" },
  ".cm-cursor": { borderLeftColor: "var(--st-text-color)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "color-mix(in srgb, var(--st-primary-color) 28%, transparent)",
  },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--st-text-color) 6%, transparent)" },
  ".cm-gutters": { backgroundColor: "var(--st-secondary-background-color)", color: "var(--st-text-color)", border: "none" },
  ".cm-panels": { backgroundColor: "var(--st-secondary-background-color)", color: "var(--st-text-color)" },
  ".cm-tooltip": {
    backgroundColor: "var(--st-background-color)",
    color: "var(--st-text-color)",
    border: "1px solid var(--st-border-color)",
    borderRadius: "var(--st-base-radius)",
    maxWidth: "420px",
  },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--st-primary-color)", color: "white" },
});

export const CSS_TEXT = `
.helm-source { position: relative; border: 1px solid var(--st-border-color); border-radius: var(--st-base-radius); overflow: hidden; font-family: var(--st-font); }
.helm-source:focus-within { border-color: var(--st-primary-color); box-shadow: 0 0 0 1px var(--st-primary-color); }
`;
