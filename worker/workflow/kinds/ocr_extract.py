"""The node kind ``ocr.extract``: read the text of a stored document, or of the sample that Helmsight ships.

Runs in the killable child of a model worker. Safe to run twice: pages are replaced, and the sample's document has
an id made from the run and the node.
"""

import functools
import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as distribution_version
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, select

from analytics.core.errors import InputError, InvariantError, NotFoundError
from analytics.core.settings import Settings, load_settings
from analytics.core.telemetry import OCR_PAGE_SECONDS, OCR_PAGES
from analytics.store.engine import session_scope
from analytics.store.queries import documents
from analytics.store.tables import Document
from worker.workflow.node_kind import Idempotence, NodeCall, NodeKind, Transport

if TYPE_CHECKING:
    from worker.ocr.engine import OcrOptions
    from worker.ocr.read import PageText

OUTPUT_CHARACTERS = 20_000
"""The most text in the node's output; all of it is in the document's pages."""


def _run(call: NodeCall) -> dict[str, Any]:
    from worker.ocr.engine import get_engine  # noqa: PLC0415 - Tesseract loads in the model worker only
    from worker.ocr.read import DocumentText, read_pages  # noqa: PLC0415

    engine = call.resources.engine
    if engine is None:
        raise InvariantError("ocr.extract was run without a database engine; nothing was read.")
    options = _options(call)
    document_id, name, content = _document(engine, call)
    reader = get_engine(call.config.get("engine", "tesseract"))
    pages: list[PageText] = []
    for page in read_pages(name, content, options, call.settings, engine=reader):
        with session_scope(engine) as session:
            documents.save_page(session, document_id, _row(page, options, reader.version))
        pages.append(page)
        said = f"page {page.number}: {len(page.words)} words, confidence {page.confidence}, {page.duration_s:.2f} s"
        call.log.info(said)
    with session_scope(engine) as session:
        documents.drop_pages_after(session, document_id, len(pages))
    return _summary(document_id, DocumentText(tuple(pages), options, reader.name, reader.version))


def _options(call: NodeCall) -> "OcrOptions":
    from worker.ocr.engine import OcrOptions  # noqa: PLC0415

    config = call.config
    defaults = OcrOptions(language=call.settings.ocr.languages, page_timeout=call.settings.ocr.page_timeout)
    given = {name: config[name] for name in ("language", "psm", "oem", "dpi", "confidence_threshold") if name in config}
    return replace(defaults, **given)


def _document(engine: Engine, call: NodeCall) -> tuple[uuid.UUID, str, bytes]:
    if call.config.get("sample"):
        return _sample(engine, call)
    try:
        document_id = uuid.UUID(call.config["document_id"])
    except ValueError as error:
        raise InputError(f"{call.config['document_id']!r} is no document id; nothing was read.") from error
    with session_scope(engine) as session:
        content = documents.document_bytes(session, document_id)
        document = session.get(Document, document_id)
        if content is None or document is None:
            raise NotFoundError(f"There is no document {document_id}; nothing was read. Upload it again.")
        return document_id, document.name, content


def _sample(engine: Engine, call: NodeCall) -> tuple[uuid.UUID, str, bytes]:
    from worker.ocr.sample import SAMPLE_NAME, sample_image_path  # noqa: PLC0415

    content = sample_image_path().read_bytes()
    place = call.node_id if call.map_index < 0 else f"{call.node_id}[{call.map_index}]"
    document_id = uuid.uuid5(call.run_id, place)
    with session_scope(engine) as session:
        documents.store_document(
            session,
            name=SAMPLE_NAME,
            content=content,
            media_type="image/png",
            uploaded_by=None,
            run_id=call.run_id,
            document_id=document_id,
        )
    return document_id, SAMPLE_NAME, content


def _row(page: "PageText", options: "OcrOptions", version: str) -> documents.PageText:
    settings = {name: value for name, value in asdict(options).items() if name != "page_timeout"}
    return documents.PageText(
        page=page.number,
        width=page.width,
        height=page.height,
        text=page.text,
        filtered_text=page.filtered_text,
        confidence=page.confidence,
        words=[asdict(word) for word in page.words],
        engine=page.engine,
        duration_s=page.duration_s,
        settings={**settings, "dpi": page.dpi, "engine_version": version},
    )


def _summary(document_id: uuid.UUID, result: Any) -> dict[str, Any]:
    text = result.text
    return {
        "document_id": str(document_id),
        "pages": len(result.pages),
        "word_count": result.word_count,
        "character_count": result.character_count,
        "confidence": result.confidence,
        "engine": result.engine,
        "language": result.options.language,
        "duration_s": round(sum(page.duration_s for page in result.pages), 4),
        "warnings": result.warnings,
        "text": text[:OUTPUT_CHARACTERS],
        "text_truncated": len(text) > OUTPUT_CHARACTERS,
    }


def _fingerprint(config: Mapping[str, Any], engine: Engine) -> list[str]:
    """Return what decides over the text besides the configuration: the document's bytes, our OCR, its language."""
    if config.get("sample"):
        from worker.ocr.sample import sample_image_path  # noqa: PLC0415 - as above

        digest = hashlib.sha256(sample_image_path().read_bytes()).hexdigest()
    else:
        digest = _stored_digest(engine, str(config.get("document_id")))
    return [digest, *_installed(), "" if "language" in config else _default_language()]


def _stored_digest(engine: Engine, document_id: str) -> str:
    try:
        key = uuid.UUID(document_id)
    except ValueError:
        return ""  # The node itself will say what is wrong.
    with session_scope(engine) as session:
        digest = session.scalar(select(Document.sha256).where(Document.id == key))
    return "" if digest is None else digest.hex()


@functools.cache
def _installed() -> tuple[str, ...]:
    found = []
    for name in ("tesserocr", "tessdata"):
        try:
            found.append(f"{name} {distribution_version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} absent")
    return tuple(found)


@functools.cache
def _default_language() -> str:
    return load_settings().ocr.languages


def _warm(settings: Settings) -> None:
    from worker.ocr.engine import OcrOptions, get_engine  # noqa: PLC0415 - as above

    get_engine("tesseract").warm(OcrOptions(language=settings.ocr.languages))


def _observe(output: Mapping[str, Any]) -> None:
    pages = output["pages"]
    OCR_PAGES.labels(output["engine"], "ok").inc(pages)
    for _ in range(pages):
        OCR_PAGE_SECONDS.labels(output["engine"]).observe(output["duration_s"] / pages)


KIND = NodeKind(
    name="ocr.extract",
    summary="Reads the text of an image or PDF.",
    config_schema={
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "document_id": {"type": "string", "format": "uuid", "description": "An uploaded document."},
            "sample": {"const": True, "description": "Read the invoice that Helmsight ships."},
            "engine": {"type": "string", "minLength": 1, "default": "tesseract"},
            "language": {"type": "string", "pattern": "^[A-Za-z_]{3,}(\\+[A-Za-z_]{3,})*$"},
            "psm": {"type": "integer", "minimum": 0, "maximum": 13, "default": 6},
            "oem": {"type": "integer", "minimum": 0, "maximum": 3, "default": 3},
            "dpi": {"type": "integer", "minimum": 50, "maximum": 1200, "default": 300},
            "confidence_threshold": {"type": "number", "minimum": 0, "maximum": 100, "default": 60},
        },
        "oneOf": [{"required": ["document_id"]}, {"required": ["sample"]}],
    },
    transport=Transport.PROCESS,
    idempotence=Idempotence.IDEMPOTENT,
    run=_run,
    cacheable=True,
    fingerprint=_fingerprint,
    docs="""Puts out `document_id`, `pages`, `word_count`, `character_count`, `confidence` (0 to 100, or null without
words), `engine`, `language`, `duration_s`, `warnings`, `text` (the first 20,000 characters) and `text_truncated`. All
text, words and boxes are stored with the document. Runs in a child process that is killed when it takes too long or the
run is cancelled.

```yaml
- id: read
  kind: ocr.extract
  timeout: 5m
  cache: 1h
  config: {document_id: "{{ params.document_id }}", language: eng+deu}
```
""",
    warm=_warm,
    observe=_observe,
)
