// One run after the other, so that the first can be read and used while the others are drawn.
"use strict";

const start = async () => {
  document.body.append(tip);
  const texts = {};
  for (const section of document.querySelectorAll("section.run")) {
    const data = await unpack(`data-${section.id}`);
    const explorer = new Explorer(section, data);
    await explorer.update();
    const own = section.querySelectorAll(".chart.own");
    for (const [at, specification] of data.figures.entries()) await embed(own[at], fitted(specification));
    if (data.queries) {
      const name = section.dataset.texts;
      if (name) texts[name] ??= await unpack(name);
      new Queries(explorer, texts[name]);
    }
    section.dataset.ready = "yes";
    performance.mark(`ready ${section.id}`);
    await new Promise((resolve) => setTimeout(resolve));
  }
  document.documentElement.dataset.ready = "yes";
};

start().catch((error) => console.error(error));
