"""What mkdocs does not know by itself: pages from outside of docs/, pages made from the code, and links to both.

README, CHANGELOG, CONTRIBUTING and the tables of ``benchmarks/results`` are pages of the site as they are. Links in all
pages are written for the checkout, where people read them too; here they are turned into links of the site. A link to a
file that is no page (an option file, a module) leads into the repository where ``repo_url`` names one, and is its text
alone otherwise. A page of docs/ that mkdocs.yml does not list comes last, under "More".
"""

import json
import re
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from tools.docs_site import reference

CHECKOUT = Path(__file__).resolve().parents[2]
ROOT_PAGES = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
RESULTS = "benchmarks/results"
RESULTS_PLACE = "benchmarks/"  # in the site
RESULTS_PAGE = "benchmarks.md"
MORE = "More"

_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?![a-z]+:)([^)\s#]+)(#[^)\s]*)?\)")
_CODE = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that do not lie in docs/, and those that nobody has listed to the navigation."""
    schema = json.loads((CHECKOUT / "options" / "schema.json").read_text(encoding="utf-8"))
    made = {
        "reference/commands.md": reference.commands_page(),
        "reference/datasets_prep.md": reference.preparation_page(),
        "reference/options.md": reference.options_page(schema),
        "reference/option_files.md": reference.recipes_page(),
    }
    made |= {page: (CHECKOUT / name).read_text(encoding="utf-8") for name, page in ROOT_PAGES.items()}
    for path in sorted((CHECKOUT / RESULTS).iterdir()):
        page = f"{RESULTS_PLACE}{path.name}"
        if path.suffix == ".md":
            text = path.read_text(encoding="utf-8")
            title = path.stem.replace("_cpu", " on a CPU").replace("_", " ")
            made[page] = text if text.startswith("# ") else f"# {title[0].upper()}{title[1:]}\n\n{text}"
        elif path.suffix == ".png":
            files.append(File.generated(config, page, abs_src_path=str(path)))
    for page, content in made.items():
        files.append(File.generated(config, page, content=content))
    nav: list[Any] = config.nav or []
    listed = set(_listed(nav))
    unlisted = [file.src_uri for file in files.documentation_pages() if file.src_uri not in listed]
    if unlisted:
        nav.append({MORE: sorted(unlisted)})
    return files


def on_page_markdown(markdown: str, page: Any, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of the checkout into those of the site."""
    origin = _origin_of(page.file.src_uri)
    pieces = _CODE.split(markdown)  # text, code, text, code, ...: the text of a link may go over the end of a line
    pieces[::2] = [_LINK.sub(lambda link: _linked(link, origin, page.file, config), text) for text in pieces[::2]]
    return "".join(pieces)


def _linked(link: re.Match[str], origin: str, file: File, config: MkDocsConfig) -> str:
    """Return a link as it is to be in the site."""
    image, text, target, anchor = link.groups()
    if origin.startswith("reference/"):  # made for the site
        return link[0]
    path = normpath((PurePosixPath(origin).parent / target).as_posix())
    page = _page_of(path)
    if page is not None:
        return f"{image}[{text}]({relpath(page, PurePosixPath(file.src_uri).parent.as_posix())}{anchor or ''})"
    if not (CHECKOUT / path).exists():
        return link[0]  # mkdocs says that it leads nowhere
    return f"[{text}]({config.repo_url.rstrip('/')}/blob/main/{path})" if config.repo_url else text


def _page_of(path: str) -> str | None:
    """Return which page or image of the site a file of the checkout is."""
    if path in ROOT_PAGES:
        return ROOT_PAGES[path]
    if path == RESULTS:
        return RESULTS_PAGE
    for folder, place in (("docs/", ""), (f"{RESULTS}/", RESULTS_PLACE)):
        if path.startswith(folder):
            return f"{place}{path.removeprefix(folder)}"
    return None


def _origin_of(page: str) -> str:
    """Return which file of the checkout a page is; pages that are made are called what they are."""
    for name, made in ROOT_PAGES.items():
        if page == made:
            return name
    if page.startswith(RESULTS_PLACE):
        return f"{RESULTS}/{page.removeprefix(RESULTS_PLACE)}"
    return page if page.startswith("reference/") else f"docs/{page}"


def _listed(nav: Any) -> list[str]:
    """Return all pages that a navigation names."""
    if isinstance(nav, str):
        return [nav]
    items = nav.values() if isinstance(nav, dict) else nav
    return [page for item in items for page in _listed(item)]
