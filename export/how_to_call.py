"""The card's chapter on how to call the model, in Python, JavaScript and C++."""

from nin_onnx.card import Card
from nin_onnx.variants import FLOAT_INPUT

__all__ = ["how_to_call"]


def how_to_call(card: Card) -> str:
    """Return the chapter, in Markdown, with the form of input that `card` describes."""
    planar = card.input == FLOAT_INPUT
    sides = [card.channels, card.height, card.width] if planar else [card.height, card.width, card.channels]
    numpy, javascript, array, cpp = (
        ("float32", "float32", "Float32Array", "float") if planar else ("uint8", "uint8", "Uint8Array", "uint8_t")
    )
    return TEXT.format(
        shape=", ".join(map(str, (1, *sides))),
        count=" * ".join(map(str, sides)),
        numpy=numpy,
        javascript=javascript,
        array=array,
        cpp=cpp,
        classes=len(card.labels),
    )


TEXT = """## How to call it

Python (`pip install 'nin-onnx[cpu,images]'`), images of any size and mode:

```python
import nin_onnx

prediction = nin_onnx.Classifier("model.onnx")("image.png")
print(prediction.label, prediction.probability)
```

Python with ONNX Runtime alone:

```python
import json
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
card = json.loads(session.get_modelmeta().custom_metadata_map["nin_onnx.card"])
images = np.zeros(({shape}), np.{numpy})
(probabilities,) = session.run(["probabilities"], {{"images": images}})
print(card["labels"][probabilities[0].argmax()])
```

Node (`npm install onnxruntime-node`); in a web page the same with `onnxruntime-web`:

```js
import * as ort from "onnxruntime-node";

const session = await ort.InferenceSession.create("model.onnx");
const images = new ort.Tensor("{javascript}", new {array}({count}), [{shape}]);
const {{ probabilities }} = await session.run({{ images }});
console.log(probabilities.data.indexOf(Math.max(...probabilities.data)));
```

C++:

```cpp
#include <onnxruntime_cxx_api.h>
#include <algorithm>
#include <iostream>
#include <vector>

int main() {{
  Ort::Env env;
  Ort::Session session(env, ORT_TSTR("model.onnx"), Ort::SessionOptions{{}});
  std::vector<{cpp}> pixels({count});
  const int64_t shape[] = {{{shape}}};
  const char* in[] = {{"images"}};
  const char* out[] = {{"probabilities"}};
  auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  auto images = Ort::Value::CreateTensor<{cpp}>(memory, pixels.data(), pixels.size(), shape, 4);
  auto answer = session.Run(Ort::RunOptions{{}}, in, &images, 1, out, 1);
  const float* p = answer[0].GetTensorData<float>();
  std::cout << std::max_element(p, p + {classes}) - p << std::endl;
}}
```"""
