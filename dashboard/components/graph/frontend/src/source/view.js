// The text of a definition: line numbers, marks where something is wrong, a warning before unsent changes are lost.
import { autocompletion, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { bracketMatching, foldGutter, foldKeymap, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { lintGutter, setDiagnostics } from "@codemirror/lint";
import { search, searchKeymap } from "@codemirror/search";
import { Compartment, EditorState } from "@codemirror/state";
import { EditorView, drawSelection, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers } from "@codemirror/view";
import { proposals } from "./complete.js";
import { CSS_TEXT, highlighting, looks } from "./looks.js";

const PAUSE_MS = 300;

export class SourceView {
  constructor(place) {
    const style = document.createElement("style");
    style.textContent = CSS_TEXT;
    this.root = document.createElement("div");
    this.root.className = "helm-source";
    this.parts = [style, this.root];
    place.append(...this.parts);
    this.writable = new Compartment();
    this.named = new Compartment();
    this.timer = null;
    this.revision = null;
    this.kinds = [];
    this.goneTo = null;
    this.warn = (event) => {
      if (this.isChanged()) event.preventDefault();
    };
    window.addEventListener("beforeunload", this.warn);
    this.editor = new EditorView({ parent: this.root, root: place.getRootNode(), state: this.newState("") });
  }

  newState(text) {
    return EditorState.create({
      doc: text,
      extensions: [
        lineNumbers(),
        foldGutter(),
        lintGutter(),
        highlightActiveLine(),
        highlightActiveLineGutter(),
        drawSelection(),
        history(),
        indentOnInput(),
        indentUnit.of("  "),
        bracketMatching(),
        yaml(),
        syntaxHighlighting(highlighting),
        search({ top: true }),
        autocompletion({ override: [proposals(() => this.kinds)], activateOnTyping: true }),
        // Without Tab, which has to move on to the next control.
        keymap.of([...defaultKeymap, ...historyKeymap, ...searchKeymap, ...foldKeymap, ...completionKeymap]),
        looks,
        this.writable.of([]),
        this.named.of([]),
        EditorView.lineWrapping,
        EditorView.updateListener.of((update) => update.docChanged && this.later()),
        EditorView.domEventHandlers({ blur: () => this.send() }),
      ],
    });
  }

  update({ data, setStateValue }) {
    this.setState = setStateValue;
    this.kinds = data.kinds ?? [];
    this.saved = data.saved;
    this.root.style.height = `${data.height}px`;
    if (data.revision !== this.revision) {
      clearTimeout(this.timer);
      this.timer = null;
      this.revision = data.revision;
      this.editor.setState(this.newState(data.text));
      this.label = null;
    }
    if (data.label !== this.label || data.readOnly !== this.readOnly) {
      this.label = data.label;
      this.readOnly = data.readOnly;
      this.editor.dispatch({
        effects: [
          this.writable.reconfigure([EditorState.readOnly.of(data.readOnly)]),
          this.named.reconfigure(EditorView.contentAttributes.of({ "aria-label": data.label, "aria-multiline": "true", "aria-readonly": String(data.readOnly) })),
        ],
      });
    }
    this.mark(data.problems ?? []);
    if (data.goTo && data.goTo.number !== this.goneTo) {
      this.goneTo = data.goTo.number;
      this.go(data.goTo.line);
    }
  }

  mark(problems) {
    const { doc } = this.editor.state;
    const found = problems
      .filter(({ line }) => line && line <= doc.lines)
      .map(({ line, reason }) => {
        const { from, to, text } = doc.line(line);
        return { from: from + (text.length - text.trimStart().length), to, severity: "error", message: reason };
      });
    const key = JSON.stringify(found);
    if (key === this.marked) return;
    this.marked = key;
    this.editor.dispatch(setDiagnostics(this.editor.state, found));
  }

  go(number) {
    const { doc } = this.editor.state;
    const line = doc.line(Math.min(Math.max(1, number), doc.lines));
    this.editor.dispatch({ selection: { anchor: line.from, head: line.to }, effects: EditorView.scrollIntoView(line.from, { y: "center" }) });
    this.editor.focus();
  }

  isChanged() {
    return this.saved != null && this.editor.state.doc.toString() !== this.saved;
  }

  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.send(), PAUSE_MS);
  }

  /** Sends what was typed; at once when the reader turns to something else. */
  send() {
    if (this.timer === null) return;
    clearTimeout(this.timer);
    this.timer = null;
    this.marked = null;
    this.setState("source", { text: this.editor.state.doc.toString(), revision: this.revision });
  }

  destroy() {
    clearTimeout(this.timer);
    window.removeEventListener("beforeunload", this.warn);
    this.editor.destroy();
    for (const part of this.parts) part.remove();
  }
}
