"""Codes and wordings of error bodies, by which faults are classified."""

from __future__ import annotations

import re

# Codes and wordings of OpenAI, vLLM, SGLang, llama.cpp, Ollama, TGI, Together, Fireworks, Anthropic, Gemini, Vertex,
# Mistral, xAI, Groq, Cerebras, Bedrock, LM Studio, Cohere, Qwen, Moonshot, Zhipu, MiniMax, DeepSeek, Poolside.
OVERFLOW_CODES = {
    "context_length_exceeded",
    "context_window_exceeded",
    "model_context_window_exceeded",
    "exceed_context_size_error",
    "string_above_max_length",
    "max_prompt_length_exceeded",
    "contextwindowexceedederror",
    "input_too_long",
    "model_max_prompt_tokens_exceeded",
}
OVERFLOW = re.compile(
    r"max(imum)? (allowed )?(context|prompt|sequence|input|model) length"
    r"|model'?s context (length|window|size)"
    r"|exceed\w{0,9} (the )?(available |model'?s )?(context (size|length|window|limit)|max_model_len|max_seq_len"
    r"|maximum number of (input )?tokens)"
    r"|exceed\w{0,9} (the )?max(imum)? (allowed )?(input|prompt|context) (length|tokens|size)"
    r"|context (length|window|size|limit) (is |was |has been |of \S+ )?(exceeded|overflow)"
    r"|(longer|greater) than the (model'?s )?(maximum|context|max)"
    r"|(prompt|input)( is)? too long"
    r"|prompt \([^)]{0,40}\) is too long"
    r"|too long to fit"
    r"|prompt (contains|has) \S+ tokens.{0,80}too large"
    r"|reduce the length of the (messages|prompt|input)"
    r"|current length is \d+ while limit is"
    r"|inputs`? (tokens \+ `?max_new_tokens`? )?must (be|have) (<=|less than)"
    r"|input token count.{0,40}(exceeds|only supports)"
    r"|(prompt|input|context)\b.{0,40}\bexceed\w{0,9}.{0,40}\b(limit|length|tokens|window)"
    r"|exceed\w{0,9} (the )?(model )?token limit|exceed\w{0,9} max message tokens|requested tokens.{0,20}exceed"
    r"|prompt_tokens.{0,30}must be less than"
    r"|exceed\w{0,9} the max\w* .{0,20}(input|prompt) tokens"
    r"|too many (input |prompt )?tokens|more than max tokens allowed"
    r"|range of input length"
    r"|context shift is disabled"
    r"|when context the overflows"
    r"|max_tokens must be at least 1, got -"
    r"|context_length_exceeded",
    re.IGNORECASE | re.DOTALL,
)
# A status 5xx is an overflow only with these words of llama.cpp and Ollama.
OVERFLOW_OF_SERVER = re.compile(
    r"exceeds the available context size|context shift is disabled|context_length_exceeded|exceeds the context window"
    r"|input length exceeds the context length|maximum context length is \d+|context (size|window) (has been )?exceed",
    re.IGNORECASE,
)
TIMED_OUT = re.compile(
    r"deadline exceed|context deadline|context cancell?ed|time limit|gateway time"
    r"|(request|upstream|connection|operation|server|response)[^.]{0,40}timed? ?out",
    re.IGNORECASE,
)
LOADING = re.compile(r"\bmodel\b.{0,60}\bloading\b|\bloading (the )?model", re.IGNORECASE | re.DOTALL)
TOO_LARGE_CAP = re.compile(
    r"max_?(new_?|completion_?|output_?)?tokens.{0,80}(too (large|high|big)|exceed|less than|at most|valid range|"
    r"supported range|(must|should|cannot|can't) be|> \d)"
    r"|range of max_tokens|maximum tokens you requested|too (large|high|many).{0,20}output",
    re.IGNORECASE | re.DOTALL,
)
NO_QUOTA_CODES = {
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "insufficient_balance",
    "insufficient_credits",
    "account_deactivated",
    "access_terminated",
    "arrearage",
    "payment_required",
    "exceeded_current_quota_error",
    "1113",
}
NO_QUOTA = re.compile(
    r"credit balance is too low|insufficient (account )?(balance|credits|funds)|account is not active|out of credits"
    r"|spend(ing)? limit (has been )?(reached|exceeded)|account.{0,20}(suspended|overdue|in arrears)",
    re.IGNORECASE,
)
NO_MODEL_CODES = {
    "model_not_found",
    "model_not_available",
    "invalid_model",
    "unknown_model",
    "deploymentnotfound",
    "model_not_exist",
    "model_decommissioned",
}
RATE_CODES = {"rate_limit_exceeded", "rate_limit_error", "throttlingexception", "too_many_requests"}
NO_MODEL = re.compile(
    r"\bmodels?\b[:\s/]*+(?!parameter|param|field|argument|option|config|propert|template|input|key)"
    r"(?:name )?(?:[`'\"\u201c]?[\w./:@+-]+[`'\"\u201d]?,? )?(?:is |was |could )?"
    r"(?:does not exist|do not exist|not exist|not found|not be found|not a valid model|not supported by any provider)"
    r"|not a valid model|invalid model name|unknown model\b|no such model|no endpoints found for",
    re.IGNORECASE,
)
PARAMETER = re.compile(r"\b(parameter|param|field|argument|property)\b", re.IGNORECASE)
BAD_KEY = re.compile(
    r"(invalid|incorrect|missing|expired) (x-)?api[- _]?key|api[- _]?key (is )?(not valid|invalid|expired)",
    re.IGNORECASE,
)
FILTERED_CODE = re.compile(
    r"content_?filter|content_?policy|content_?moderation|moderation_blocked|responsible_?ai|data_?inspection_?failed"
    r"|sensitive_?content|contentdetected|sensitive_words|invalid_prompt|prohibited_?content|guardrail"
    r"|policy_?violation|safety_?(check|violation|block|error)|^safety$|^blocklist$|high_risk|content_blocked"
    r"|risk_control|unsafe_(content|generation)|^censor"
)
# MiniMax and Zhipu use numbers.
FILTERED_NUMBERS = {"1026", "1027", "1301"}
FILTERED = re.compile(
    r"flagged (as|by|for) .{0,40}(violat|moderation|safety|policy|harm|content)|content management policy"
    r"|content filtering policy|usage (policy|policies|guidelines)|considered high risk|content exists risk"
    r"|limited access to this content"
    r"|(inappropriate|sensitive|unsafe|prohibited) (content|information)"
    r"|(blocked|rejected) (by|due to|because of|as a result of) .{0,30}(safety|content|guardrail|policy|moderation)"
    r"|violat\w{1,9} .{0,30}(guardrail|moderation|safety)"
    r"|(prompt|response|request|content) (was |is |has been )?(blocked|filtered) (by|due)",
    re.IGNORECASE | re.DOTALL,
)
BAD_PARAMETER_CODES = {"unsupported_parameter", "unsupported_value", "unknown_parameter", "invalid_value"}
EXCEEDS_TOKENS_PER_MINUTE = re.compile(r"request too large", re.IGNORECASE)
