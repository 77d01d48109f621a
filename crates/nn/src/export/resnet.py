
class Block(nn.Module):
    """A residual block of He et al. 2016, in torchvision's names."""

    def __init__(self, inputs, channels, stride, bottleneck):
        super().__init__()
        bias = OPTIONS["norm"] == "folded"
        norm = nn.Identity if bias else nn.BatchNorm2d
        sizes = [1, 3, 1] if bottleneck else [3, 3]
        outputs = 4 * channels if bottleneck else channels
        strided = 1 if bottleneck else 0
        self.count = len(sizes)
        before = inputs
        for index, size in enumerate(sizes):
            width = outputs if index == self.count - 1 else channels
            step = stride if index == strided else 1
            conv = nn.Conv2d(before, width, size, step, size // 2, bias=bias)
            setattr(self, f"conv{index + 1}", conv)
            setattr(self, f"bn{index + 1}", norm(width))
            before = width
        self.downsample = None
        if tuple(stride) != (1, 1) or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=bias)
            self.downsample = nn.Sequential(conv, norm(outputs))
        self.outputs = outputs

    def forward(self, x):
        y = x
        for index in range(1, self.count + 1):
            y = getattr(self, f"bn{index}")(getattr(self, f"conv{index}")(y))
            y = torch.relu(y) if index < self.count else y
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class Model(Recurrent):
    """Features [batch, frames, bins] to logits [batch, frames', labels]; time is the picture's height."""

    STAGES = ["stem", "layer1", "layer2", "layer3", "layer4"]

    def __init__(self):
        kept = self.STAGES.index(OPTIONS["cut"])
        width, strides = OPTIONS["width"], OPTIONS["time-strides"]
        bias = OPTIONS["norm"] == "folded"
        bottleneck = OPTIONS["depth"] == 50
        counts = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3]}[OPTIONS["depth"]]
        three = OPTIONS["colours"] != "repeat"
        bins = BINS // 3 if three else BINS
        bins = ((bins + 1) // 2 + 1) // 2
        layers, channels = {}, width
        for index in range(kept):
            stride = (1, 1) if index == 0 else (strides[index + 1], 2)
            bins = bins if index == 0 else (bins + 1) // 2
            blocks = []
            for block in range(counts[index]):
                blocks.append(Block(channels, width << index, stride if block == 0 else (1, 1), bottleneck))
                channels = blocks[-1].outputs
            layers[f"layer{index + 1}"] = nn.Sequential(*blocks)
        super().__init__(channels * bins if OPTIONS["height"] == "flatten" else channels)
        self.conv1 = nn.Conv2d(3, width, 7, (strides[0], 2), 3, bias=bias)
        self.bn1 = nn.Identity() if bias else nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, (strides[1], 2), 1)
        self.layers = list(layers)
        for name, layer in layers.items():
            setattr(self, name, layer)

    def picture(self, features):
        """[batch, frames, bins] to [batch, 3, frames, bins], normalised as ImageNet's pictures were."""
        if OPTIONS["colours"] == "repeat":
            x = features.unsqueeze(1).expand(-1, 3, -1, -1)
        else:
            x = torch.stack(features.chunk(3, dim=2), dim=1)
        if OPTIONS["pixels"] == "moments":
            return x
        mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
        deviation = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
        # Three standard deviations to each side are black and white.
        return ((x / 6 + 0.5).clamp(0, 1) - mean) / deviation

    def forward(self, features):
        x = self.maxpool(torch.relu(self.bn1(self.conv1(self.picture(features)))))
        for name in self.layers:
            x = getattr(self, name)(x)
        x = side_by_side(x) if OPTIONS["height"] == "flatten" else x.mean(3).transpose(1, 2)
        return super().forward(x)

