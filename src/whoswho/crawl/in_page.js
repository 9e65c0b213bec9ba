// What the crawl asks a page of results. It runs inside the page, reads, and scrolls; clicks come
// from the driver, because the sites take no others. Called as (markup, question, ...more).
const [markup, question, ...more] = arguments;

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

// The thumbnail's address, or "" while the page holds its place with a dot or a grey box.
const thumbnailOf = (image) => {
  if (!image) return "";
  if (isAddress(image.src)) return image.src;
  const kept = markup.thumbnail_attributes.map((name) => image.getAttribute(name)).find(isAddress);
  if (kept) return kept;
  const drawn = image.src.startsWith("data:image/") && image.complete && image.naturalWidth >= 16;
  return drawn ? image.src : "";
};

const questions = {
  // What kind of page this is.
  state() {
    const results = all(markup.results).length;
    const words = results ? "" : (document.body?.innerText ?? "").replace(/\s+/g, " ");
    const says = (list) => list.find((text) => words.includes(text)) ?? "";
    return {
      title: document.title,
      status: performance.getEntriesByType("navigation")[0]?.responseStatus ?? 0,
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

  // What the panel shows now: addresses of large pictures, and the page's link.
  panel(result, thumbnail) {
    const link = markup.picture_link && all(markup.picture_link.selectors, result)[0];
    const named = link ? new URL(link.href).searchParams : null;
    const images = all(markup.picture).filter((image) => !image.closest('[aria-hidden="true"]'));
    const shown = images.filter(visible).map((image) => image.src);
    const large = shown.filter(
      (src) =>
        isAddress(src) && src !== thumbnail && !markup.small.some((part) => src.includes(part)),
    );
    return {
      there: images.length > 0,
      named: named?.get(markup.picture_link.picture) ?? "",
      named_page: named?.get(markup.picture_link.page) ?? "",
      large: large.at(-1) ?? "",
      page: all(markup.panel_page).filter(visible).at(-1)?.href ?? "",
    };
  },

  // Keep the browser on the site: a click that misses the picture must not follow a link off it.
  stay() {
    if (window.whoswhoStays) return;
    window.whoswhoStays = true;
    performance.setResourceTimingBufferSize(20000);
    const hold = (event) => {
      const link = event.target.closest?.("a[href]");
      if (link && new URL(link.href, location).origin !== location.origin) event.preventDefault();
    };
    document.addEventListener("click", hold, true);
    document.addEventListener("auxclick", hold, true);
  },
};

return questions[question](...more);
