// Puts the licences of what is in the bundle beside it, and tells how large the bundle became.
import { copyFileSync, readdirSync, statSync } from "node:fs";

copyFileSync("node_modules/cytoscape/LICENSE", "../assets/LICENSE.cytoscape.txt");
copyFileSync("node_modules/@codemirror/view/LICENSE", "../assets/LICENSE.codemirror.txt");
for (const name of readdirSync("../assets")) {
  console.log(name, statSync(`../assets/${name}`).size, "bytes");
}
