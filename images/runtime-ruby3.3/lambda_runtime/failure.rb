# frozen_string_literal: true

require 'json'

module LambdaRuntime
  # An exception as callers see it: `{"errorMessage", "errorType": "Function<RuntimeError>", "stackTrace"}`.
  class Failure
    FRAMES_MAX = 100
    CAUSE_MAX_BYTES = 1024 * 1024
    OWN_FRAMES = "#{__dir__}/"
    private_constant :OWN_FRAMES

    attr_reader :message, :type, :trace

    # `phase` is where it happened: Init or Function.
    def initialize(error, phase)
      @message = message_of(error)
      @type = text("#{phase}<#{error.class}>").gsub(/[[:cntrl:]]/, ' ')
      @locations = own_code_of_function(error.backtrace_locations || [])
      @trace = @locations.map { |location| text(location.to_s) }
    end

    def to_json(*)
      JSON.generate(to_h)
    end

    def to_h
      { errorMessage: message, errorType: type, stackTrace: trace }
    end

    # What X-Ray shows of it; nil when it is larger than a header may be.
    def cause
      frames = @locations.map do |location|
        { path: text(location.path.to_s), line: location.lineno, label: text(location.label.to_s) }
      end
      exceptions = [{ type: type, message: message, stack: frames }]
      paths = frames.map { |frame| frame[:path] }.uniq
      described = JSON.generate({ working_directory: Dir.pwd, exceptions: exceptions, paths: paths }, ascii_only: true)
      described if described.bytesize < CAUSE_MAX_BYTES
    end

    private

    # Everything below the first frame of ours is the way by which we called the function.
    def own_code_of_function(locations)
      locations.first(FRAMES_MAX).take_while { |location| !location.absolute_path.to_s.start_with?(OWN_FRAMES) }
    end

    # An error may say it by code of its own, which may fail too.
    def message_of(error)
      text(error.message.to_s)
    rescue StandardError => e
      "its message cannot be told: #{e.class}"
    end

    def text(value)
      value = value.dup.force_encoding(Encoding::UTF_8) if value.encoding == Encoding::BINARY || value.encoding.dummy?
      value.encode('UTF-8', invalid: :replace, undef: :replace).scrub
    end
  end
end
