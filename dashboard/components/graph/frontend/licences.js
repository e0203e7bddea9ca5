// Puts the licences of what is in the bundle beside it, and tells how large the bundle became.
import { copyFileSync, readdirSync, statSync } from "node:fs";

copyFileSync("node_modules/cytoscape/LICENSE", "../assets/LICENSE.cytoscape.txt");
for (const name of readdirSync("../assets")) {
  console.log(name, statSync(`../assets/${name}`).size, "bytes");
}
