
def half(kernel):
    return [size // 2 for size in kernel]


class Block(nn.Module):
    def __init__(self, channels, stride):
        super().__init__()
        kernel = OPTIONS["block-kernel"]
        self.depthwise = nn.Conv2d(channels, channels, kernel, stride, half(kernel), groups=channels)
        self.depthwise_norm = nn.BatchNorm2d(channels)
        self.pointwise = nn.Conv2d(channels, channels, 1)
        self.pointwise_norm = nn.BatchNorm2d(channels)

    def forward(self, x):
        x = torch.relu(self.depthwise_norm(self.depthwise(x)))
        return torch.relu(self.pointwise_norm(self.pointwise(x)))


class Model(nn.Module):
    """Features [batch, frames, bins] to logits [batch, frames', labels]."""

    def __init__(self):
        super().__init__()
        channels, kernel, stride = OPTIONS["channels"], OPTIONS["kernel"], OPTIONS["stride"]
        self.conv = nn.Conv2d(1, channels, kernel, stride, half(kernel))
        self.norm = nn.BatchNorm2d(channels)
        bins = (BINS + 2 * (kernel[1] // 2) - kernel[1]) // stride[1] + 1
        blocks, size = [], OPTIONS["block-kernel"][1]
        for block in range(OPTIONS["blocks"]):
            step = 2 if block < OPTIONS["halvings"] else 1
            blocks.append(Block(channels, (1, step)))
            bins = (bins + 2 * (size // 2) - size) // step + 1
        self.block = nn.ModuleList(blocks)
        self.spectrum = nn.Conv2d(channels, channels, (1, bins), groups=channels)
        self.spectrum_norm = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(OPTIONS["dropout"])
        self.output = nn.Linear(channels, OUTPUTS)

    def forward(self, features):
        x = torch.relu(self.norm(self.conv(features.unsqueeze(1))))
        for block in self.block:
            x = block(x)
        x = torch.relu(self.spectrum_norm(self.spectrum(x)))  # [batch, channels, frames, 1]
        return self.output(self.dropout(x.squeeze(3).transpose(1, 2)))

