// Proposals while typing: kinds of nodes after `kind:`, ids of nodes in `needs`.
const ID = /^\s*-?\s*id:\s*["']?([\w.-]+)/gm;

/** Proposals from what the page says exists and from what the text itself names. */
export function proposals(kinds) {
  return (context) => {
    const line = context.state.doc.lineAt(context.pos);
    const before = line.text.slice(0, context.pos - line.from);
    const word = context.matchBefore(/[\w.-]*/);
    if (/^\s*-?\s*kind:\s*["']?[\w.-]*$/.test(before))
      return { from: word.from, options: kinds().map(({ name, title }) => ({ label: name, detail: title, type: "type" })) };
    if (/^\s*-?\s*needs:\s*\[?[^\]]*$/.test(before) && (word.text || context.explicit)) {
      const ids = [...context.state.doc.toString().matchAll(ID)].map((match) => match[1]);
      return { from: word.from, options: [...new Set(ids)].map((label) => ({ label, type: "variable" })) };
    }
    return null;
  };
}
