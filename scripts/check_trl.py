#!/usr/bin/env python3
"""Read the parts of `rlm-eval export sft` with `trl`: its format check, and one step of its SFT trainer.

    python -m venv TOOL && TOOL/bin/pip install trl==1.16.0      # with torch, 1.5 GB without CUDA
    TOOL/bin/python scripts/check_trl.py exports/sft

The model is a random one of two layers, and the tokenizer is made from the rows, so that nothing is fetched. Exit code
1 if a part is in another format, or if the trainer takes the loss of other tokens than those of the completions.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from datasets import Dataset, load_dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer
from trl.data_utils import is_conversational

TEMPLATE = (
    "{% for message in messages %}{{ message['role'] + ' :\n' + message['content'] + ' <end>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant :\n' }}{% endif %}"
)


def tokenizer_of(rows: Dataset) -> PreTrainedTokenizerFast:
    """A tokenizer that knows the characters of the rows."""
    texts = [message["content"] for row in rows for message in (*row["prompt"], *row["completion"])]
    characters = sorted(set("".join(texts) + "systemuserassistant: \n<end>"))
    tokenizer = Tokenizer(models.WordLevel({c: i for i, c in enumerate(["<pad>", "<unk>", *characters])}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<pad>", unk_token="<unk>")
    fast.chat_template = TEMPLATE
    return fast


def main() -> int:
    folder = Path(sys.argv[1])
    wrong = 0
    for part in ("root", "sub"):
        if not (folder / f"{part}.parquet").is_file():
            continue
        rows = load_dataset(str(folder), part, split="train")
        conversational = sum(map(is_conversational, rows))
        tokenizer = tokenizer_of(rows)
        settings = LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=65536,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as output:
            config = SFTConfig(
                output_dir=output, max_steps=1, per_device_train_batch_size=1, max_length=None, report_to="none",
                use_cpu=True, gradient_checkpointing=False, bf16=False, save_strategy="no",
            )  # fmt: skip
            trainer = SFTTrainer(LlamaForCausalLM(settings), config, train_dataset=rows, processing_class=tokenizer)
            # -100 marks the tokens without a loss.
            trained = [sum(label != -100 for label in row["labels"]) for row in trainer.train_dataset]
            result = trainer.train()
        # The reply and the end of its turn; the trainer also learns the end of the sequence.
        expected = [len(row["completion"][0]["content"] + " <end>\n") for row in rows]
        extra = {mask - length for mask, length in zip(trained, expected, strict=True)}
        right = conversational == len(rows) and extra <= {0, 1}
        wrong += not right
        print(
            f"{part}: {len(rows)} rows, {conversational} conversational, loss {result.training_loss:.3f} over "
            f"{sum(trained)} tokens of completions: {'as expected' if right else 'WRONG'}"
        )
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
