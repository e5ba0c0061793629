"""A classifier in training: does one update at a time, and holds all that the next update needs."""

import contextlib
import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from nin_onnx.recipe import Recipe
from nin_onnx.train import fused
from nin_onnx.train.augmentation import augment, draw
from nin_onnx.train.capture import CapturedUpdate
from nin_onnx.train.device import autocast, precision
from nin_onnx.train.examples import Examples
from nin_onnx.train.initialization import initialize
from nin_onnx.train.network import TorchClassifier, channels_last, logits
from nin_onnx.train.optimizer import Optimizer
from nin_onnx.train.process_group import ProcessGroup
from nin_onnx.train.randomness import Purpose, key, seeded
from nin_onnx.train.schedule import ema_share, update_ema

__all__ = ["Learner"]


class Learner:
    """The weights, their exponential moving average, and the optimizer's momentum, on one device.

    Call `set_examples`, and `begin` or `restore`, before the first step.
    """

    def __init__(
        self,
        recipe: Recipe,
        classifier: TorchClassifier,
        device: torch.device,
        group: ProcessGroup | None = None,
        echo: Callable[[str], None] = lambda line: None,
        *,
        deterministic: bool = False,
    ) -> None:
        self.recipe, self.device, self.group = recipe, device, group or ProcessGroup()
        self.dtype = precision(recipe.train.precision, device)
        classifier.to(device)
        self.preprocessing = classifier.preprocessing
        self.network = channels_last(classifier.network)
        self.micro_batch = recipe.train.micro_batch or (recipe.train.batch_size if device.type == "cuda" else 32)
        self.dropouts = self.network.dropouts()
        self.keys = [torch.zeros((), dtype=torch.int64, device=device) for _ in self.dropouts]
        for dropout, dropout_key in zip(self.dropouts, self.keys, strict=True):
            dropout.key = dropout_key
        self.augmentation_key = torch.zeros((), dtype=torch.int64, device=device)
        self.ema_share = torch.zeros((), device=device)
        """Weight of the new values in the exponential moving average."""
        self.forward: nn.Module = self.network.for_training()
        self.no_sync: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
        if self.group.size > 1:
            self._distribute()
        self.ema = copy.deepcopy(self.network) if recipe.schedule.ema_decay else None
        self.optimizer = Optimizer(self.network, recipe.optimizer)
        self.first_bias = next(weight for name, weight in self.network.named_parameters() if name.endswith("bias"))
        self.steps_without_gradient = torch.zeros((), dtype=torch.int64, device=device)
        """Steps in a row in which no gradient reached the first layer."""
        self.fused: fused.FusedNetwork | None = None
        self.preprocess_once = device.type == "cuda"
        """Before the first step; elsewhere each batch is preprocessed, since memory is dearer than time."""
        # Not for deterministic runs: a resumed one, which begins with other passes, must end with the same bytes.
        captures = self.group.size == 1 and device.type == "cuda" and not deterministic
        self.captured = self.capture(echo) if captures else None

    def _distribute(self) -> None:
        """Let the processes of the group exchange their gradients."""
        parallel = DistributedDataParallel(self.forward, gradient_as_bucket_view=True)
        self.forward, self.no_sync = parallel, parallel.no_sync
        # Its first pass sums the gradients in another order than those that follow; a resumed run has had it too.
        parallel(torch.zeros(1, *self.network.architecture.input, device=self.device)).sum().backward()
        parallel.zero_grad()

    def capture(self, echo: Callable[[str], None]) -> CapturedUpdate:
        """Return the update as CUDA graphs, with fused kernels if Triton is installed."""
        learning_rates = [group["lr"] for one in self.optimizer.optimizers for group in one.param_groups]
        self.preprocess_once = True
        updates = [self._update]
        if fused.usable() and self.micro_batch >= self.recipe.train.batch_size:
            self.fused = fused.FusedNetwork(self.network, self.recipe.augmentation, self.dtype)
            updates = [self._fused_update, self._update]
        inputs = [*self.keys, self.augmentation_key, self.ema_share, *learning_rates]
        return CapturedUpdate(updates, self._update, self._exact_update, self.state(), inputs, echo)

    def set_examples(self, examples: Examples) -> None:
        """Set the images that steps choose from, preprocessed if they fit on the GPU."""
        images, self.labels = examples
        if self.preprocess_once and not self._fits(len(images)):
            self.preprocess_once, self.captured = False, None  # its kernels read preprocessed images
        if self.preprocess_once:
            images = torch.empty(len(images), *self.network.architecture.input, device=self.device)  # [N, C, H, W], contiguous
            with torch.no_grad():
                for part, out in zip(examples.images.split(1000), images.split(1000), strict=True):
                    out.copy_(self.preprocessing(part))
        self.images = images

    def _fits(self, count: int) -> bool:
        """Return whether `count` preprocessed images, float32, take at most half of the memory that is free on the GPU."""
        if self.device.type == "cpu":
            return True
        free, _ = torch.cuda.mem_get_info(self.device)
        return 4 * count * math.prod(self.network.architecture.input) <= free / 2

    def begin(self, seed: int) -> None:
        """Draw the first weights; every later random choice follows from `seed` too."""
        self.seed = seed
        initialize(self.network, self.recipe.network, seeded(seed, Purpose.INITIALIZATION))
        if self.ema is not None:
            self.ema.load_state_dict(self.network.state_dict())

    def result(self) -> TorchClassifier:
        """Return the classifier that is tested and saved: with the averaged weights, or the last ones if none are averaged."""
        return TorchClassifier(self.preprocessing, self.network if self.ema is None else self.ema)

    def step(self, rows: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Do update number `number`, from the images `rows`, int64 [N] on the device.

        In a group every process is given the whole batch, and trains on its part of it. Return the summed loss and the number
        of errors of that part, on the device; the next step may overwrite them.
        """
        self.network.train()
        self.augmentation_key.fill_(key(self.seed, Purpose.AUGMENTATION, number))
        for layer, dropout_key in enumerate(self.keys):
            dropout_key.fill_(key(self.seed, Purpose.DROPOUT, number, layer))
        self.ema_share.fill_(ema_share(self.recipe.schedule.ema_decay, number))
        return self._update(rows) if self.captured is None else self.captured(rows)

    def _update(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Do the update by the network's modules: the reference for every faster way."""
        self.optimizer.drop_gradients()
        mine = self.group.part(len(rows))
        images, augmentation = self.images[rows[mine]], self.recipe.augmentation
        x = images if images.is_floating_point() else self.preprocessing(images)
        x = augment(x, augmentation, draw(augmentation, self.augmentation_key, mine, self.device))
        x = x.contiguous(memory_format=torch.channels_last)
        result = self._forward_backward(x, self.labels[rows[mine]], len(rows), mine.start)
        self._apply_gradients()
        return result

    def _exact_update(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Do the update in float32, for the check of a captured one."""
        dtype, self.dtype = self.dtype, torch.float32
        try:
            return self._update(rows)
        finally:
            self.dtype = dtype

    def _fused_update(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Do the same with fewer passes over memory."""
        assert self.fused is not None
        self.optimizer.drop_gradients()
        truth = self.labels[rows]
        scores = logits(self.fused(self.images, rows, self.augmentation_key).float())
        loss = self._loss(scores, truth)
        (loss / len(rows)).backward()
        self._apply_gradients()
        return loss.detach(), (scores.argmax(1) != truth).sum()

    def _apply_gradients(self) -> None:
        """Update the weights by their gradients, and the moving average by the weights."""
        assert self.first_bias.grad is not None
        self.steps_without_gradient.copy_(torch.where(self.first_bias.grad.any(), 0, self.steps_without_gradient + 1))
        self.optimizer.step()
        if self.ema is not None:
            update_ema(self.ema, self.network, self.ema_share)

    def _loss(self, scores: Tensor, truth: Tensor) -> Tensor:
        smoothing = self.recipe.optimizer.label_smoothing
        return functional.cross_entropy(scores, truth, reduction="sum", label_smoothing=smoothing)

    def _forward_backward(self, x: Tensor, truth: Tensor, whole: int, first: int) -> tuple[Tensor, Tensor]:
        """Add up the gradients of `x` [N, C, H, W], the images from `first` on in a batch of `whole`; return loss and errors."""
        micro_batches, truths = x.split(self.micro_batch), truth.split(self.micro_batch)
        loss, wrong = (torch.zeros((), device=self.device) for _ in range(2))
        for micro, (part, labels) in enumerate(zip(micro_batches, truths, strict=True), 1):
            for dropout in self.dropouts:
                dropout.first = first
            with contextlib.nullcontext() if micro == len(truths) else self.no_sync():
                with autocast(self.device, self.dtype):
                    scores = logits(self.forward(part).float())
                part_loss = self._loss(scores, labels)
                (part_loss * (self.group.size / whole)).backward()  # a group takes the mean of its gradients
            loss += part_loss.detach()
            wrong += (scores.argmax(1) != labels).sum()
            first += len(labels)
        return loss, wrong

    def state(self) -> dict[str, Tensor]:
        """Return all that the next step needs except the seed, by its name in state files; not copied."""
        state = {f"network/{name}": weight.detach() for name, weight in self.network.named_parameters()}
        if self.ema is not None:
            state |= {f"average/{name}": weight.detach() for name, weight in self.ema.named_parameters()}
        momentum = {f"momentum/{name}": tensor for name, tensor in self.optimizer.momentum().items()}
        return state | momentum | {"silent": self.steps_without_gradient}

    def restore(self, state: dict[str, Tensor], seed: int) -> None:
        """Put back what `state` returned; raise `ValueError` if it is another network's."""
        self.seed = seed
        mine = self.state()
        if {name: tensor.shape for name, tensor in state.items()} != {name: tensor.shape for name, tensor in mine.items()}:
            raise ValueError("its tensors are not this network's")
        for name, tensor in mine.items():
            tensor.copy_(state[name])
