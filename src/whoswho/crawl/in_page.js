// What the crawl does in a page of results. It runs inside the page, reads, and scrolls; clicks come
// from the driver, because the sites take no others. Called as (markup, name, ...more).
const [markup, name, ...more] = arguments;

const all = (selectors, within = document) => {
  for (const selector of selectors) {
    let found;
    try {
      found = [...within.querySelectorAll(selector)];
    } catch {
      throw new Error(`whoswho: bad selector ${selector}`);
    }
    if (found.length) return found;
  }
  return [];
};
const visible = (element) => {
  const box = element.getBoundingClientRect();
  return box.width > 1 && box.height > 1 && element.checkVisibility({ visibilityProperty: true });
};
const seen = (window.whoswhoSeen ??= new WeakSet());
const unseen = () => all(markup.results).filter((result) => !seen.has(result));
const isAddress = (text) => /^https?:\/\//.test(text ?? "");
const isShown = (image) => visible(image) && !image.closest('[aria-hidden="true"]');
const isLarge = (src) => isAddress(src) && !markup.small.some((part) => src.includes(part));

// The thumbnail's address, or "" while the page holds its place with a dot or a grey box.
const thumbnailOf = (image) => {
  if (!image) return "";
  if (isAddress(image.src)) return image.src;
  const kept = markup.thumbnail_attributes.map((name) => image.getAttribute(name)).find(isAddress);
  if (kept) return kept;
  const drawn = image.src.startsWith("data:image/") && image.complete && image.naturalWidth >= 16;
  return drawn ? image.src : "";
};

const functions = {
  // What kind of page this is.
  state() {
    const results = all(markup.results).length;
    const words = results ? "" : (document.body?.innerText ?? "").replace(/\s+/g, " ");
    const says = (list) => list.find((text) => words.includes(text)) ?? "";
    // The browser's own page about an answer that did not come, or came without a page.
    const own = location.protocol === "chrome-error:";
    const code = own ? (document.querySelector(".error-code")?.textContent ?? "no answer") : "";
    const status = performance.getEntriesByType("navigation")[0]?.responseStatus ?? 0;
    const told = Number(/^HTTP ERROR (\d+)/.exec(code)?.[1] ?? 0);
    return {
      title: own ? "" : document.title,
      status: told || status,
      broken: told ? "" : code,
      loaded: document.readyState === "complete",
      results,
      captcha: !results && all(markup.captcha).some(visible),
      consent: all(markup.consent).some(visible),
      refuse: all(markup.refuse).find(visible) ?? null,
      blocked: says(markup.blocked_words),
      nothing: !results && (all(markup.nothing).some(visible) || says(markup.nothing_words) !== ""),
    };
  },

  // The next results not yet read, at most `most`, up to the first whose thumbnail is not there.
  read(most) {
    const rows = [];
    for (const result of unseen().slice(0, most)) {
      const image = all(markup.thumbnail, result)[0] ?? null;
      const thumbnail = thumbnailOf(image);
      if (!thumbnail) return { rows, waiting: result, pictured: image !== null };
      seen.add(result);
      const page = markup.page_attributes.map((name) => result.getAttribute(name)).find(isAddress);
      rows.push({ result, image, thumbnail, page: page ?? "" });
    }
    return { rows, waiting: null, pictured: true };
  },

  // A result whose thumbnail does not come: counted as read.
  skip(result) {
    seen.add(result);
    return { result, image: all(markup.thumbnail, result)[0] ?? result, thumbnail: "", page: "" };
  },

  reveal(result) {
    result.scrollIntoView({ block: "center", behavior: "instant" });
  },

  // Scroll to the end of what is there; how many results are not yet read.
  scroll() {
    const last = all(markup.results).at(-1);
    last?.scrollIntoView({ block: "end", behavior: "instant" });
    window.scrollTo({ top: document.documentElement.scrollHeight, behavior: "instant" });
    const left = unseen().length;
    if (left) window.whoswhoGrew = performance.now();
    return left;
  },

  // How the page's own request for further results failed since they last came: a status, 0 for
  // a broken connection, null where none failed.
  failed() {
    const requests = performance.getEntriesByType("resource").filter(
      (entry) =>
        ["fetch", "xmlhttprequest"].includes(entry.initiatorType) &&
        entry.startTime >= (window.whoswhoGrew ?? 0) &&
        new URL(entry.name).origin === location.origin,
    );
    const bad = (status) => status === 0 || status === 403 || status === 429 || status >= 500;
    return requests.map((entry) => entry.responseStatus).find(bad) ?? null;
  },

  more: () => all(markup.more).find(visible) ?? null,

  // Before a click: forget the large pictures that were seen so far.
  listen() {
    window.whoswhoLarge = [];
  },

  // What the panel shows now, or showed since `listen`: sites put the thumbnail back where the
  // large picture cannot be had, within milliseconds.
  panel(result, thumbnail) {
    const link = markup.picture_link && all(markup.picture_link.selectors, result)[0];
    const named = link ? new URL(link.href).searchParams : null;
    const images = all(markup.picture).filter(isShown);
    const large = (sources) => sources.filter((src) => isLarge(src) && src !== thumbnail).at(-1);
    return {
      there: images.length > 0,
      named: named?.get(markup.picture_link.picture) ?? "",
      named_page: named?.get(markup.picture_link.page) ?? "",
      shown: large(images.map((image) => image.src)) ?? "",
      came: large(window.whoswhoLarge) ?? "",
      page: all(markup.panel_page).filter(visible).at(-1)?.href ?? "",
    };
  },

  // Once a page, before it is read. A click that misses the picture must not follow a link off
  // the site.
  prepare() {
    if (window.whoswhoLarge) return;
    window.whoswhoLarge = [];
    performance.setResourceTimingBufferSize(20000);
    const note = (image) => {
      if (isLarge(image.src) && isShown(image) && all(markup.picture).includes(image))
        window.whoswhoLarge.push(image.src);
    };
    new MutationObserver((changes) => {
      for (const { target, addedNodes } of changes) {
        const fresh = [...addedNodes].filter((node) => node instanceof Element);
        const images = fresh.flatMap((node) => [node, ...node.querySelectorAll("img")]);
        [target, ...images].filter((node) => node instanceof HTMLImageElement).forEach(note);
      }
    }).observe(document, { subtree: true, childList: true, attributeFilter: ["src"] });
    const hold = (event) => {
      const link = event.target.closest?.("a[href]");
      if (link && new URL(link.href, location).origin !== location.origin) event.preventDefault();
    };
    document.addEventListener("click", hold, true);
    document.addEventListener("auxclick", hold, true);
  },
};

return functions[name](...more);
