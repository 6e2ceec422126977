// What is near the window first; the rest while nothing else is to be done, so that a print has every chart.
"use strict";

const texts = {};

const begun = new Map();

const begin = (section) => {
  if (!begun.has(section)) begun.set(section, fill(section));
  return begun.get(section);
};

const fill = async (section) => {
  const data = await unpack(`data-${section.id}`);
  const explorer = new Explorer(section, data);
  await explorer.update();
  const own = section.querySelectorAll(".chart.own");
  for (const [at, specification] of data.figures.entries()) await embed(own[at], fitted(specification));
  if (data.queries) {
    const name = section.dataset.texts;
    if (name) texts[name] ??= unpack(name);
    new Queries(explorer, await texts[name]);
  }
  section.dataset.ready = "yes";
};

const start = async () => {
  document.body.append(tip);
  const idle = () => new Promise((resolve) => (window.requestIdleCallback ?? setTimeout)(resolve));
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) begin(entry.target).catch((error) => console.error(error));
  }, { rootMargin: "800px" });
  const sections = [...document.querySelectorAll("section.run")];
  for (const section of sections) near.observe(section);
  for (const section of sections) {
    await idle();
    await begin(section);
  }
  document.documentElement.dataset.ready = "yes";
};

start().catch((error) => console.error(error));
