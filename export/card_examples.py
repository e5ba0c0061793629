"""How to call a model, as its README.md shows it: Python, JavaScript and C++."""

from string import Template

from nin_onnx.card import Card
from nin_onnx.variants import FLOAT_INPUT

__all__ = ["examples"]

TYPES = {
    "float32": {"numpy": "float32", "javascript": "float32", "array": "Float32Array", "cpp": "float"},
    "uint8": {"numpy": "uint8", "javascript": "uint8", "array": "Uint8Array", "cpp": "uint8_t"},
}
"""What each language calls the type of the input."""


TEMPLATE = Template("""\
## How to call it

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
images = np.zeros(($shape), np.$numpy)
(probabilities,) = session.run(["probabilities"], {"images": images})
print(card["labels"][probabilities[0].argmax()])
```

Node (`npm install onnxruntime-node`); in a web page the same with `onnxruntime-web`:

```js
import * as ort from "onnxruntime-node";

const session = await ort.InferenceSession.create("model.onnx");
const images = new ort.Tensor("$javascript", new $array($count), [$shape]);
const { probabilities } = await session.run({ images });
console.log(probabilities.data.indexOf(Math.max(...probabilities.data)));
```

C++:

```cpp
#include <onnxruntime_cxx_api.h>
#include <algorithm>
#include <iostream>
#include <vector>

int main() {
  Ort::Env env;
  Ort::Session session(env, ORT_TSTR("model.onnx"), Ort::SessionOptions{});
  std::vector<$cpp> pixels($count);
  const int64_t shape[] = {$shape};
  const char* in[] = {"images"};
  const char* out[] = {"probabilities"};
  auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  auto images = Ort::Value::CreateTensor<$cpp>(memory, pixels.data(), pixels.size(), shape, 4);
  auto answer = session.Run(Ort::RunOptions{}, in, &images, 1, out, 1);
  const float* p = answer[0].GetTensorData<float>();
  std::cout << std::max_element(p, p + $classes) - p << std::endl;
}
```""")


def examples(card: Card) -> str:
    """Return the section "How to call it" for the model that `card` describes."""
    planar = card.input == FLOAT_INPUT
    sides = [card.channels, card.height, card.width] if planar else [card.height, card.width, card.channels]
    return TEMPLATE.substitute(
        TYPES["float32" if planar else "uint8"],
        shape=", ".join(map(str, (1, *sides))),
        count=" * ".join(map(str, sides)),
        classes=len(card.labels),
    )
