"""EML: the subject is the title, the readable body the text; attachments are counted, not opened. Addresses are left
out."""

from email import message_from_bytes, policy
from email.errors import MessageError
from email.message import MIMEPart

from llm_service.retrieval.loaders import text, web
from llm_service.retrieval.loaders.content import Block, LoadedDocument, UnreadableDocument


def load(content: bytes) -> LoadedDocument:
    """Blocks of a message. Raises `UnreadableDocument` with `broken_file` if it has no headers, or an encoding's
    code."""
    try:
        message = message_from_bytes(content, policy=policy.default)
        subject = " ".join(str(message.get("Subject", "")).split())
        body = message.get_body(preferencelist=("plain", "html"))
    except (MessageError, ValueError, LookupError) as error:
        raise UnreadableDocument("broken_file") from error
    if not message.keys():
        raise UnreadableDocument("broken_file")
    blocks = _body_blocks(body) if body is not None else ()
    attachments = sum(1 for _ in message.iter_attachments())
    notes = (f"attachments_not_read:{attachments}",) if attachments else ()
    return LoadedDocument("eml", blocks, subject or None, notes=notes)


def _body_blocks(body: MIMEPart) -> tuple[Block, ...]:
    payload = body.get_payload(decode=True)
    encoded = payload if isinstance(payload, bytes) else b""
    if not encoded.strip():
        return ()
    charset = body.get_content_charset()
    if charset is not None:
        try:
            encoded = encoded.decode(charset).encode()
        except (UnicodeDecodeError, LookupError):
            charset = None  # a wrong or unknown declaration: the bytes themselves decide
    loaded = web.load(encoded) if body.get_content_type() == "text/html" else text.load(encoded)
    return loaded.blocks
