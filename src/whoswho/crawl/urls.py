"""A list of addresses: a table with the columns url and label, and page where it is known."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from whoswho import tables
from whoswho.crawl.site import Hit, Search
from whoswho.errors import UserError
from whoswho.labels import check_distinct, folder_problem, from_folder

NAME = "url"


class Urls:
    """The addresses of a table, by label, in its order."""

    name = NAME

    def __init__(self, table: Path) -> None:
        """Read `table`.

        Raises:
            UserError: it is not there, lacks a column, or a label cannot be a folder.
        """
        if not table.is_file():
            raise UserError(f"{table}: not there; give a CSV table with the columns url,label")
        try:
            rows = tables.read(table, ("url", "label"))
        except UnicodeError:
            raise UserError(f"{table}: not UTF-8; save the file as UTF-8") from None
        self._table = table
        self._hits: dict[str, dict[str, Hit]] = {}
        for number, row in enumerate(rows, 2):
            url, label = row["url"].strip(), from_folder(row["label"].strip())
            where = f"{table}, row {number}"
            if not url:
                raise UserError(f"{where}: has no url; write one or remove the row")
            if "\ufffd" in label or any("\udc80" <= letter <= "\udcff" for letter in label):
                raise UserError(f"{where}: not UTF-8, maybe CP949; save the file as UTF-8")
            if problem := folder_problem(label):
                raise UserError(f"{where}: the label {label[:60]!r} {problem}; write another one")
            hits = self._hits.setdefault(label, {})
            hits.setdefault(url, Hit(len(hits) + 1, url, page=row.get("page", "").strip()))
        if not self._hits:
            raise UserError(f"{table}: has no rows; write url,label into each")
        check_distinct(self._hits)

    def searches(self) -> list[Search]:
        """One search a label."""
        return [Search(self._table.name, label) for label in self._hits]

    def hits(self, search: Search, limit: int) -> Iterator[Hit]:
        """The addresses of a label."""
        return islice(self._hits[search.label].values(), limit or None)

    def close(self) -> None:
        """Nothing is held."""
