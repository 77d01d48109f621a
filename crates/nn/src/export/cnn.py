
class Model(Recurrent):
    """Features [batch, frames, bins] to logits [batch, frames', labels]."""

    def __init__(self):
        convolutions, norms, channels, bins = [], [], 1, BINS
        for layer in OPTIONS["convolutions"]:
            kernel, stride = layer["kernel"], layer["stride"]
            padding = [size // 2 for size in kernel]
            convolutions.append(nn.Conv2d(channels, layer["channels"], kernel, stride, padding))
            norms.append(nn.BatchNorm2d(layer["channels"]))
            channels = layer["channels"]
            bins = (bins + 2 * padding[1] - kernel[1]) // stride[1] + 1
        super().__init__(bins * channels)
        self.conv, self.norm = nn.ModuleList(convolutions), nn.ModuleList(norms)

    def forward(self, features):
        x = features.unsqueeze(1)  # [batch, 1, frames, bins]
        for convolution, norm in zip(self.conv, self.norm):
            x = torch.relu(norm(convolution(x)))
        return super().forward(side_by_side(x))

