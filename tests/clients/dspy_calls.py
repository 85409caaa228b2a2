"""dspy's `Predict` at its defaults, with either API."""

import dspy

predict = dspy.Predict("question -> answer")


def call(content, stream, **options):
    lm = dspy.LM("openai/openclaw", **options)
    with dspy.context(lm=lm):
        if not stream:
            return predict(question=content).answer
        listener = dspy.streaming.StreamListener("answer")
        pieces = dspy.streamify(predict, stream_listeners=[listener], async_streaming=False)(question=content)
        return "".join(piece.chunk for piece in pieces if isinstance(piece, dspy.streaming.StreamResponse))


def chat(base_url, key, content, stream):
    return call(content, stream, api_base=base_url, api_key=key)


def responses(base_url, key, content, stream):
    return call(content, stream, api_base=base_url, api_key=key, model_type="responses")
